"""What a step needs to know of its rows, in one transfer to the device and always at the same addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..cache import PAGE_SLOTS
from ..network import Part
from ..step_rows import step_rows
from .attention import Tiles
from .shapes import ROWS, SLOTS, StepShape

ALIGNED = 4
"""Columns begin at whole 16 bytes: kernels are compiled for that."""
WIDTHS = {"tokens": 1, "positions": 1, "pages": 1, "offsets": 1, "visible": 3, "first": 1, "rows": 1, "tables": 1}
"""Numbers a row, by column; the last three are of tiles, of which there are as many as rows at most."""


class Columns(NamedTuple):
    """Views of one shape.  # all int32"""

    tokens: Tensor
    positions: Tensor
    pages: Tensor
    """The page that a row's keys and values go to; negative for rows that pad the step."""
    offsets: Tensor
    """The slot of that page."""
    visible: Tensor
    """# [R, 3]"""
    tiles: Tiles
    page_tables: Tensor
    """# [R, pages]: at most as many sequences as rows"""


class StepInputs:
    """A buffer on the device that holds the columns of any shape."""

    def __init__(self, device: torch.device) -> None:
        largest = StepShape(ROWS[-1], SLOTS[-1])
        self._device = device
        self._buffer = torch.zeros(_size(largest), dtype=torch.int32, device=device)

    def columns(self, shape: StepShape) -> Columns:
        """Where the columns of a shape are."""
        views = {name: self._buffer[start:stop] for name, start, stop in _places(shape)}
        tables = self._buffer[_size(shape) - shape.rows * shape.pages : _size(shape)]
        return Columns(
            views["tokens"],
            views["positions"],
            views["pages"],
            views["offsets"],
            views["visible"].view(shape.rows, 3),
            Tiles(views["first"], views["rows"], views["tables"]),
            tables.view(shape.rows, shape.pages),
        )

    def fill(self, shape: StepShape, parts: Sequence[Part], *, tile_rows: int) -> None:
        """Send the rows of a step, which need not wait for the one before."""
        numbers = torch.from_numpy(_numbers(shape, parts, tile_rows))
        if self._device.type == "cuda":
            numbers = numbers.pin_memory()  # its allocator keeps the memory until the copy is over
        self._buffer[: len(numbers)].copy_(numbers, non_blocking=True)


def _numbers(shape: StepShape, parts: Sequence[Part], tile_rows: int) -> np.ndarray:
    """All columns behind one another."""
    numbers = np.zeros(_size(shape), np.int32)
    columns = {name: numbers[start:stop] for name, start, stop in _places(shape)}
    tables = numbers[_size(shape) - shape.rows * shape.pages :].reshape(shape.rows, shape.pages)
    rows = step_rows(parts)
    count = len(rows["tokens"])
    for name in ("tokens", "positions"):
        columns[name][:count] = rows[name]
    columns["visible"][: 3 * count] = rows["visible"]
    columns["offsets"][:count] = rows["slots"] % PAGE_SLOTS
    columns["pages"][count:] = -1
    first = 0
    for index, part in enumerate(parts):
        cache = part.cache
        used = min(cache.page_count, shape.pages)  # more may be reserved than is seen
        tables[index, :used] = cache.pages[:used]
        stop = first + len(part.tokens)
        columns["pages"][first:stop] = cache.pages[rows["slots"][first:stop] // PAGE_SLOTS]
        first = stop
    tiles = np.array(list(_tiles(parts, tile_rows)), np.int32).reshape(-1, 3).T
    for name, values in zip(("first", "rows", "tables"), tiles, strict=True):
        columns[name][: len(values)] = values
    return numbers


def _tiles(parts: Sequence[Part], tile_rows: int) -> Iterator[tuple[int, int, int]]:
    """First row, number of rows and sequence of each tile."""
    first = 0
    for index, part in enumerate(parts):
        stop = first + len(part.tokens)
        for at in range(first, stop, tile_rows):
            yield at, min(tile_rows, stop - at), index
        first = stop


def _places(shape: StepShape) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of each column."""
    start = 0
    for name, width in WIDTHS.items():
        yield name, start, start + width * shape.rows
        start += -(-width * shape.rows // ALIGNED) * ALIGNED


def _size(shape: StepShape) -> int:
    """Of all columns and tables."""
    *_, (_, start, stop) = _places(shape)
    return start + -(-(stop - start) // ALIGNED) * ALIGNED + shape.rows * shape.pages
