"""How much of an accepted completion is still there after a while: the characters that nobody touched."""

from __future__ import annotations

from dataclasses import dataclass, field

from .documents import Edit

CHECKPOINTS = (15, 30, 120, 300, 600)
"""Seconds after the acceptance."""


@dataclass(kw_only=True)
class Survivors:
    """Pieces of an inserted text, as offsets of the present text; edits cut and move them."""

    start: int
    length: int
    pieces: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self.pieces = [(self.start, self.start + self.length)]

    @property
    def characters(self) -> int:
        """How many are left."""
        return sum(end - start for start, end in self.pieces)

    def edited(self, edit: Edit) -> None:
        """What an edit replaces is gone; what lies behind it moves."""
        moved = len(edit.text) - (edit.end - edit.start)
        left = [(start, min(end, edit.start)) for start, end in self.pieces]
        right = [(max(start, edit.end) + moved, end + moved) for start, end in self.pieces]
        self.pieces = sorted(piece for piece in [*left, *right] if piece[0] < piece[1])
