"""Pairs on disk: back as they were, or a line that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffill.training.edits import EditPair, read_pairs
from diffill.training.edits.shards import INDEX_FILE, write_index, write_shard


def pair(number: int = 0, text: str = "a\n") -> EditPair:
    return EditPair(
        prefix=text,
        before=f"b = {number}\n",
        after=f"c = {number}\n",
        suffix=text,
        instruction="",
        language="python",
        kind="commit",
        source="owner/name@0:a.py",
    )


@given(st.lists(st.text(), max_size=5))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    directory = tmp_path_factory.mktemp("pairs")
    pairs = [pair(number, text) for number, text in enumerate(texts)]
    write_index(directory, [write_shard(directory / "a.zst", pairs[:2]), write_shard(directory / "b.zst", pairs[2:])])
    assert list(read_pairs(directory)) == pairs
    assert sorted(path.name for path in directory.iterdir()) == ["a.zst", "b.zst", INDEX_FILE]


def overwritten(data: bytes) -> bytes:
    return data[:20] + bytes([data[20] ^ 1]) + data[21:]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-1], overwritten], ids=["empty", "cut", "bit"])
def test_a_damaged_shard_is_named(tmp_path: Path, damage) -> None:
    write_index(tmp_path, [write_shard(tmp_path / "a.zst", [pair(n) for n in range(9)])])
    (tmp_path / "a.zst").write_bytes(damage((tmp_path / "a.zst").read_bytes()))
    with pytest.raises(ValueError, match=r"pairs: .*a\.zst: its sha256 differs"):
        list(read_pairs(tmp_path))


def test_a_missing_shard_and_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"pairs: cannot read .*pairs\.json"):
        list(read_pairs(tmp_path))
    write_index(tmp_path, [write_shard(tmp_path / "a.zst", [pair()])])
    (tmp_path / "a.zst").unlink()
    with pytest.raises(ValueError, match=r"pairs: cannot read .*a\.zst"):
        list(read_pairs(tmp_path))
    (tmp_path / INDEX_FILE).write_text('{"shards": [], "colour": 1}')
    with pytest.raises(ValueError, match="colour"):
        list(read_pairs(tmp_path))
