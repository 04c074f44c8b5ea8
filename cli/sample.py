"""The sample files that `demo` opens, and the places in them where something is missing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

SAMPLES = Path(__file__).parent / "samples"
CURSORS_FILE = "cursors.json"


class Cursor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place in a sample file: right behind `before`, with `missing` taken out of the text."""

    file: str
    before: str
    missing: str


FUNCTION_BODY = Cursor(
    file="stock.py",
    before='"""The number of pieces on the shelves."""\n        ',
    missing="return sum(item.quantity for item in self.items.values())",
)
"""A longer answer, to be watched while it is denoised."""


class Slip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mistake to put into a sample file: `wrong` in place of `right`."""

    file: str
    right: str
    wrong: str


SLIPS = (
    Slip(file="stock.py", right="return sum(item.value for", wrong="return sum(itm.value for"),
    Slip(file="stock.py", right="def short_items(self) -> list[Item]:", wrong="def short_items(self) -> list[Item]"),
    Slip(file="access_log.py", right="requests.append(request)", wrong="requests.append(reqest)"),
)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One complete file and its cursors, in the order of the file."""

    path: Path
    text: str
    cursors: list[Cursor]

    def offset(self, cursor: Cursor) -> int:
        """Where the missing text starts, in characters.

        Raises:
            ValueError: the text does not occur, or more than once.
        """
        if self.text.count(cursor.before + cursor.missing) != 1:
            raise ValueError(f"{CURSORS_FILE}: {cursor.before + cursor.missing!r} is not unique in {cursor.file}")
        return self.text.index(cursor.before + cursor.missing) + len(cursor.before)

    def position(self, offset: int) -> tuple[int, int]:
        """0-based line and column of an offset; the samples are ASCII with LF, so every encoding agrees."""
        return self.text.count("\n", 0, offset), offset - (self.text.rfind("\n", 0, offset) + 1)


def load_samples(directory: Path = SAMPLES) -> list[Sample]:
    """All sample files, in the order in which the list of cursors first names them."""
    cursors = msgspec.json.decode((directory / CURSORS_FILE).read_bytes(), type=list[Cursor])
    samples = []
    for name in dict.fromkeys(cursor.file for cursor in cursors):
        path = directory / name
        sample = Sample(
            path=path, text=path.read_text("utf-8"), cursors=[cursor for cursor in cursors if cursor.file == name]
        )
        samples.append(sample)
    return samples
