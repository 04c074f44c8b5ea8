"""Packed rows of a directory, all shards mixed, in an order that is known for every epoch."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from .packing import Rows, joined, load_rows, take


class RowStore:
    """Rows to train on, endlessly, and rows to measure.

    Raises:
        ValueError: the directory holds no `train-*` shard, or one that is incomplete or altered.
    """

    def __init__(self, directory: Path, *, seed: int) -> None:
        self.shards = [load_rows(path) for path in sorted(directory.glob("train-*"))]
        if not sum(map(len, self.shards)):
            raise ValueError(f"rows: {directory} holds no train-* shard with rows")
        if len({shard.tokens.shape[1] for shard in self.shards}) > 1:
            raise ValueError(f"rows: the shards of {directory} differ in length")
        held_out = directory / "held-out"
        self.held_out = load_rows(held_out) if held_out.exists() else None
        self.seed = seed
        self._starts = np.cumsum([0, *map(len, self.shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, first: int, count: int) -> Rows:
        """Rows `first` to `first + count` of the endless sequence of epochs, each epoch in an order of its own."""
        index = np.arange(first, first + count)
        epochs = index // len(self)
        chosen = np.concatenate(
            [
                _order(self.seed, int(epoch), len(self))[index[epochs == epoch] % len(self)]
                for epoch in np.unique(epochs)
            ]
        )
        shard = np.searchsorted(self._starts, chosen, side="right") - 1
        row = chosen - self._starts[shard]
        return joined([take(self.shards[s], slice(at, at + 1)) for s, at in zip(shard, row, strict=True)])

    def measured(self, rows: int, limit: int) -> list[Rows]:
        """Held-out rows in groups of `rows`, at most `limit` rows but one group at least: shapes never change."""
        if self.held_out is None or not len(self.held_out):
            return []
        groups = max(1, min(limit, len(self.held_out)) // rows)
        index = np.resize(np.arange(len(self.held_out)), groups * rows)
        return [take(self.held_out, index[at : at + rows]) for at in range(0, len(index), rows)]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(count)
