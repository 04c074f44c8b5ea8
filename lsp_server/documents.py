"""The open files as the editor has them, and what was changed in them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from .positions import Encoding, to_characters, to_units
from .text import Text
from .window import Window, window_at

MAX_EDITS = 256
"""Edits that a document remembers: more than are typed while one completion is decoded."""

_DELETIONS = 3
"""So many in a row clear a place for something new."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Replace the characters from `start` to `end` (offsets) by `text`."""

    start: int
    end: int
    text: str


class Document:
    """One open document. `content` is immutable: whoever holds it holds a snapshot."""

    def __init__(self, *, uri: str, language: str, version: int, text: str | Text) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self.content = text if isinstance(text, Text) else Text(text)
        self.revision = 0
        """How many edits were applied."""
        self._edits: deque[Edit] = deque(maxlen=MAX_EDITS)
        self._text: str | None = None
        self._window: Window | None = None

    @property
    def text(self) -> str:
        """All of it as one string: a walk over the file after every edit, so not for every keystroke."""
        if self._text is None:
            self._text = str(self.content)
        return self._text

    def replace(self, text: str) -> None:
        """Take a whole new text."""
        self._take(Edit(start=0, end=len(self.content), text=text), Text(text))

    def apply(self, edit: Edit) -> None:
        """Apply one edit.

        Raises:
            ValueError: the range ends before it starts or leaves the text.
        """
        self._take(edit, self.content.replace(edit.start, edit.end, edit.text))

    def _take(self, edit: Edit, content: Text) -> None:
        self.content = content
        self._text = None
        self._edits.append(edit)
        self.revision += 1

    def edits_since(self, revision: int) -> list[Edit] | None:
        """What was done since, oldest first; None when that is longer ago than the document remembers."""
        count = self.revision - revision
        return list(self._edits)[len(self._edits) - count :] if count <= len(self._edits) else None

    def typed_since(self, revision: int, cursor: int) -> tuple[str, int] | None:
        """What was typed at `cursor` since then, and the offset behind it now.

        Edits elsewhere move the cursor. None when something else was done to the text at the cursor.
        """
        edits = self.edits_since(revision)
        if edits is None:
            return None
        typed, start = "", cursor
        for edit in edits:
            end = start + len(typed)
            if start <= edit.start and edit.end <= end:
                typed = typed[: edit.start - start] + edit.text + typed[edit.end - start :]
            elif edit.end < start:
                start += len(edit.text) - (edit.end - edit.start)
            elif edit.start <= end:
                return None
        return typed, start + len(typed)

    def lone_deletion_at(self, cursor: int) -> bool:
        """Whether the last thing done was to delete here, once or twice: somebody who corrects, not one who goes on."""
        deletions = 0
        for edit in reversed(self._edits):
            if edit.text or edit.start == edit.end:
                break
            deletions += 1
        return 0 < deletions < _DELETIONS and self._edits[-1].start == cursor

    def window(self, offset: int) -> Window:
        """The part around a cursor. Its syntax tree follows from that of the window before it."""
        self._window = window_at(self.content, offset, self.language, self._window)
        return self._window

    def line_span(self, line: int) -> tuple[int, int]:
        """Offsets of the content of a 0-based line, its line end excluded. A line beyond the last is the empty end."""
        return self.content.line_span(line)

    def offset_at(self, line: int, column: int, encoding: Encoding) -> int:
        """The offset of a protocol position (0-based, column in units); beyond a line's end means its end."""
        start, end = self.content.line_span(line)
        return start + to_characters(self.content.slice(start, end), column, encoding)

    def position_at(self, offset: int, encoding: Encoding) -> tuple[int, int]:
        """0-based line, and column in units, of an offset."""
        line, start = self.content.line_at(offset)
        return line, to_units(self.content.slice(start, offset), encoding)

    def offset_at_column(self, line: int, column: int) -> int:
        """The offset of a 1-based line and column in characters, as the command line counts.

        Raises:
            ValueError: there is no such place.
        """
        if line < 1 or column < 1:
            raise ValueError(f"position: line {line}, column {column}: both count from 1")
        if line > self.content.line_count:
            raise ValueError(f"line: {line} is beyond the last line, {self.content.line_count}")
        start, end = self.content.line_span(line - 1)
        if column > end - start + 1:
            raise ValueError(f"column: {column} is beyond the end of line {line}, column {end - start + 1}")
        return start + column - 1

    def column_at_offset(self, offset: int) -> tuple[int, int]:
        """1-based line and column in characters of an offset: the inverse of `offset_at_column`."""
        line, column = self.position_at(offset, "utf-32")
        return line + 1, column + 1


class DocumentListener(Protocol):
    """Hears what the editor does to its files, after it is done."""

    def opened(self, document: Document) -> None: ...

    def edited(self, document: Document, edit: Edit) -> None: ...

    def closed(self, document: Document) -> None: ...


class Documents:
    """The open documents by URI, the one used last at the end."""

    def __init__(self) -> None:
        self._documents: dict[str, Document] = {}
        self.listeners: list[DocumentListener] = []

    def open(self, document: Document) -> None:
        self._documents.pop(document.uri, None)
        self._documents[document.uri] = document
        for listener in self.listeners:
            listener.opened(document)

    def edit(self, document: Document, edit: Edit) -> None:
        """Apply one edit and tell the listeners."""
        document.apply(edit)
        for listener in self.listeners:
            listener.edited(document, edit)

    def replace(self, document: Document, text: str) -> None:
        """Give a document a whole new text and tell the listeners."""
        whole = Edit(start=0, end=len(document.content), text=text)
        document.replace(text)
        for listener in self.listeners:
            listener.edited(document, whole)

    def close(self, uri: str) -> None:
        document = self._documents.pop(uri, None)
        if document is not None:
            for listener in self.listeners:
                listener.closed(document)

    def get(self, uri: str) -> Document | None:
        return self._documents.get(uri)

    def touch(self, uri: str) -> None:
        """Note that a document is being worked on."""
        document = self._documents.pop(uri, None)
        if document is not None:
            self._documents[uri] = document

    def __iter__(self) -> Iterator[Document]:
        """Most recently used first."""
        return iter(list(reversed(self._documents.values())))

    def __len__(self) -> int:
        return len(self._documents)
