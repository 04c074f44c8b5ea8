"""Every row once an epoch, in an order that only depends on the seed and the epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from diffill.training.packing import save_rows
from diffill.training.row_store import RowStore
from tests.training.packed import random_rows


@pytest.fixture
def store(tmp_path: Path) -> RowStore:
    """Two shards of five rows, numbered 10 to 14 and 20 to 24, and three rows to measure."""
    rows = random_rows(0, length=64, examples=40)
    for shard in range(2):
        numbered = np.full_like(rows.tokens[:5], 10 * (shard + 1)) + np.arange(5, dtype=np.uint16)[:, None]
        part = dataclasses.replace(rows, tokens=numbered, document=rows.document[:5], middle=rows.middle[:5])
        save_rows(tmp_path / f"train-00-{shard:03d}", part)
    few = dataclasses.replace(rows, tokens=rows.tokens[:3], document=rows.document[:3], middle=rows.middle[:3])
    save_rows(tmp_path / "held-out", few)
    return RowStore(tmp_path, seed=0)


ALL = [10, 11, 12, 13, 14, 20, 21, 22, 23, 24]


def numbers(store: RowStore, first: int, count: int) -> list[int]:
    found: list[int] = store.take(first, count).tokens[:, 0].tolist()
    return found


def test_all_rows_of_all_shards_take_part(store: RowStore) -> None:
    epochs = [numbers(store, 10 * epoch, 10) for epoch in range(3)]
    assert all(sorted(epoch) == ALL for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2], "shuffled anew"


def test_pieces_are_the_whole_across_epochs(store: RowStore) -> None:
    whole = numbers(store, 0, 30)
    assert [number for first in range(0, 30, 3) for number in numbers(store, first, 3)] == whole
    assert numbers(store, 7, 8) == whole[7:15]


def test_another_seed_is_another_order(store: RowStore, tmp_path: Path) -> None:
    assert numbers(RowStore(tmp_path, seed=1), 0, 10) != numbers(store, 0, 10)


@pytest.mark.parametrize(("rows", "limit", "groups"), [(1, 48, 3), (1, 2, 2), (2, 48, 1), (4, 48, 1), (4, 1, 1)])
def test_measured_groups_have_one_size(store: RowStore, rows: int, limit: int, groups: int) -> None:
    measured = store.measured(rows, limit)
    assert [len(group) for group in measured] == [rows] * groups


def test_shards_of_other_lengths_are_refused(store: RowStore, tmp_path: Path) -> None:
    save_rows(tmp_path / "train-01-000", random_rows(0, length=32, examples=9))
    with pytest.raises(ValueError, match=r"the shards of .* differ in length"):
        RowStore(tmp_path, seed=0)
