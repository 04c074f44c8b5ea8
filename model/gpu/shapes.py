"""Shapes of steps: a step is padded to the next one up, so that few graphs serve all."""

from __future__ import annotations

from dataclasses import dataclass

from ..cache import PAGE_SLOTS
from ..network import MAX_POSITIONS, MAX_STEP_ROWS
from .attention import STRETCH

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, MAX_STEP_ROWS)
SLOTS = (256, 1024, 4096, -(-MAX_POSITIONS // STRETCH) * STRETCH)
"""Of the longest sequence. Stretches of slots that nobody sees end at once, but must be launched."""


@dataclass(frozen=True)
class StepShape:
    """How many rows a step has room for, and how many slots a sequence."""

    rows: int
    slots: int

    @classmethod
    def of(cls, rows: int, slots: int) -> StepShape:
        """The least shape that holds both."""
        assert 0 < rows <= ROWS[-1] and slots <= SLOTS[-1], "the caller cuts long steps"
        return cls(next(size for size in ROWS if rows <= size), next(size for size in SLOTS if slots <= size))

    @property
    def pages(self) -> int:
        """Of a table: one a sequence."""
        return self.slots // PAGE_SLOTS

    @property
    def stretches(self) -> int:
        return self.slots // STRETCH


WARM = tuple(StepShape(rows, SLOTS[1]) for rows in ROWS if rows <= 64)
"""Recorded while the weights are loaded: steps of one editor, and of its prompt."""
