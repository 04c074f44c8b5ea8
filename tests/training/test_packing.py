"""Rows: every example whole and once, and what is written comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.tokenizer import END_OF_TEXT
from diffill.training.examples import Example
from diffill.training.packing import OPEN_ROWS, PADDING, Rows, load_rows, pack, save_rows

LENGTH = 16


def example(number: int, size: int) -> Example:
    """`size` tokens that name the example and their place in it."""
    return Example(tokens=[100 * number + place for place in range(size)], middle=[place > 1 for place in range(size)])


def documents(rows: Rows) -> list[tuple[list[int], list[bool]]]:
    found = []
    for tokens, document, middle in zip(rows.tokens, rows.document, rows.middle, strict=True):
        for number in range(document.max() + 1):
            inside = document == number
            found.append((tokens[inside].tolist(), middle[inside].tolist()))
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, LENGTH + 3), max_size=60))
def test_every_example_that_fits_is_there_once(sizes: list[int]) -> None:
    examples = [example(number, size) for number, size in enumerate(sizes)]
    rows = pack(examples, LENGTH)
    assert rows.tokens.shape == rows.document.shape == rows.middle.shape == (len(rows), LENGTH)
    wanted = [(one.tokens, one.middle) for one in examples if len(one.tokens) <= LENGTH]
    assert sorted(documents(rows)) == sorted(wanted)
    for tokens, document, middle in zip(rows.tokens, rows.document, rows.middle, strict=True):
        padding = document == PADDING
        assert not padding[: LENGTH - padding.sum()].any(), "padding is at the end"
        assert (np.diff(document[~padding]) >= 0).all(), "documents stand one after another"
        assert (tokens[padding] == END_OF_TEXT).all()
        assert not middle[padding].any()


def test_rows_are_full() -> None:
    generator = np.random.default_rng(0)
    sizes = generator.integers(1, LENGTH // 2, 60 * OPEN_ROWS)
    rows = pack([example(0, size) for size in sizes], LENGTH)
    assert (rows.document != PADDING).mean() > 0.97


def test_rows_come_back(tmp_path: Path) -> None:
    rows = pack([example(number, 7) for number in range(5)], LENGTH)
    save_rows(tmp_path / "train-00", rows)
    back = load_rows(tmp_path / "train-00")
    for name in ("tokens", "document", "middle"):
        stored, made = getattr(back, name), getattr(rows, name)
        assert stored.dtype == made.dtype
        assert np.array_equal(stored, made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train-00"]


def test_a_part_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".train-00.part").mkdir()
    (tmp_path / ".train-00.part" / "tokens.npy").write_bytes(b"half")
    rows = pack([example(1, 7)], LENGTH)
    save_rows(tmp_path / "train-00", rows)
    assert np.array_equal(load_rows(tmp_path / "train-00").tokens, rows.tokens)


@pytest.mark.parametrize("damage", ["missing", "cut", "pickle", "shape"])
def test_broken_rows_are_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "train-00"
    save_rows(path, pack([example(1, 7)], LENGTH))
    file = path / "document.npy"
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "pickle":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        np.save(file, np.zeros((3, LENGTH), dtype=np.int16))
    with pytest.raises(ValueError, match=r"rows: .*train-00") as caught:
        load_rows(path)
    assert "\n" not in str(caught.value)


def test_an_altered_shard_is_refused(tmp_path: Path) -> None:
    save_rows(tmp_path / "rows", pack([example(1, 5)], LENGTH))
    tokens = np.load(tmp_path / "rows" / "tokens.npy")
    tokens[0, 0] += 1
    np.save(tmp_path / "rows" / "tokens.npy", tokens)
    with pytest.raises(ValueError, match=r"rows: cannot use .*: its sha256 is not the listed one"):
        load_rows(tmp_path / "rows")
