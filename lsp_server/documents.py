"""The text of an open file as the editor has it. Lines end at LF, CR or CRLF and nowhere else.

`str.splitlines` also breaks at form feeds, NEL and U+2028, which editors do not: one such character would put every
later edit on the wrong line.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from .positions import Encoding, to_characters, to_units

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace the characters from `start` to `end` (offsets) by `text`."""

    start: int
    end: int
    text: str


class Document:
    """One open document. `text` is an immutable string: whoever holds it holds a snapshot."""

    def __init__(self, *, uri: str, language: str, version: int, text: str) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self._text = text
        # Offsets of the line starts found so far. Typing at line n drops only what lies after it, and nothing is
        # searched again before it is asked for, so a keystroke does not cost a walk over the file.
        self._starts = [0]
        self._all_found = False

    @property
    def text(self) -> str:
        return self._text

    def replace(self, text: str) -> None:
        """Take a whole new text."""
        self._text = text
        self._starts = [0]
        self._all_found = False

    def apply(self, edit: Edit) -> None:
        """Apply one edit.

        Raises:
            ValueError: the range ends before it starts or leaves the text.
        """
        if not 0 <= edit.start <= edit.end <= len(self._text):
            raise ValueError(f"range: {edit.start} to {edit.end} is not within a text of {len(self._text)} characters")
        self._text = self._text[: edit.start] + edit.text + self._text[edit.end :]
        # A line start exactly at the edit goes too: text that begins with LF after a CR moves it.
        del self._starts[max(1, bisect_left(self._starts, edit.start)) :]
        self._all_found = False

    def line_span(self, line: int) -> tuple[int, int]:
        """Offsets of the content of a 0-based line, its line end excluded. A line beyond the last is the empty end."""
        self._find_starts(lines=line + 2)
        if line >= len(self._starts):
            return len(self._text), len(self._text)
        start = self._starts[line]
        end = self._starts[line + 1] if line + 1 < len(self._starts) else len(self._text)
        while end > start and self._text[end - 1] in "\r\n":
            end -= 1
        return start, end

    def offset_at(self, line: int, column: int, encoding: Encoding) -> int:
        """The offset of a protocol position (0-based, column in units); beyond a line's end means its end."""
        start, end = self.line_span(line)
        return start + to_characters(self._text[start:end], column, encoding)

    def position_at(self, offset: int, encoding: Encoding) -> tuple[int, int]:
        """0-based line, and column in units, of an offset."""
        self._find_starts(offset=offset)
        line = bisect_right(self._starts, offset) - 1
        return line, to_units(self._text[self._starts[line] : offset], encoding)

    def offset_at_column(self, line: int, column: int) -> int:
        """The offset of a 1-based line and column in characters, as the command line counts.

        Raises:
            ValueError: there is no such place.
        """
        if line < 1 or column < 1:
            raise ValueError(f"position: line {line}, column {column}: both count from 1")
        self._find_starts(lines=line + 1)
        if line > len(self._starts):
            raise ValueError(f"line: {line} is beyond the last line, {len(self._starts)}")
        start, end = self.line_span(line - 1)
        if column > end - start + 1:
            raise ValueError(f"column: {column} is beyond the end of line {line}, column {end - start + 1}")
        return start + column - 1

    def column_at_offset(self, offset: int) -> tuple[int, int]:
        """1-based line and column in characters of an offset: the inverse of `offset_at_column`."""
        line, column = self.position_at(offset, "utf-32")
        return line + 1, column + 1

    def _find_starts(self, *, lines: int = 0, offset: int = -1) -> None:
        """Extend the known line starts until there are `lines` of them and one lies beyond `offset`, or to the end."""
        starts = self._starts
        if self._all_found or (len(starts) >= lines and starts[-1] > offset):
            return
        for match in _LINE_END.finditer(self._text, starts[-1]):
            starts.append(match.end())
            if len(starts) >= lines and starts[-1] > offset:
                return
        self._all_found = True


class Documents:
    """The open documents by URI."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}

    def open(self, document: Document) -> None:
        self._documents[document.uri] = document

    def close(self, uri: str) -> None:
        self._documents.pop(uri, None)

    def get(self, uri: str) -> Document | None:
        return self._documents.get(uri)

    def __len__(self) -> int:
        return len(self._documents)
