"""What the person changed last in each document: the words that were there, and those that are there now."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

from .documents import Document, Edit
from .text import Text

MAX_OLD = 400
"""Characters. Who replaced more did not change a word, but wrote something else."""
_NEAR = 1
"""Characters between two edits that are one change."""
MAX_FINISHED = 6
"""Changes before the last that are remembered, over all documents."""
_WORD_CHARACTER = re.compile(r"\w")


@dataclass(frozen=True, kw_only=True)
class Change:
    """`old` was at `start` where `new` is now; both end where words end."""

    start: int
    old: str
    new: str

    @property
    def end(self) -> int:
        """Offset behind `new`, in the present text."""
        return self.start + len(self.new)


@dataclass(frozen=True, kw_only=True)
class ChangedLines:
    """Whole lines of a document before a change and after it."""

    uri: str
    before: str
    after: str


@dataclass
class _Burst:
    before: Text
    """The text before the first edit."""
    start: int
    old_end: int
    new_end: int


class RecentChanges:
    """Listens to the documents. Edits that touch one another are one change."""

    def __init__(self) -> None:
        self._bursts: dict[str, _Burst] = {}
        self._latest: dict[str, Text] = {}
        self._finished: deque[ChangedLines] = deque(maxlen=MAX_FINISHED)

    def opened(self, document: Document) -> None:
        self._latest[document.uri] = document.content
        self._bursts.pop(document.uri, None)

    def edited(self, document: Document, edit: Edit) -> None:
        before = self._latest.get(document.uri, document.content)
        self._latest[document.uri] = document.content
        burst = self._bursts.get(document.uri)
        grown = len(edit.text) - (edit.end - edit.start)
        if burst is None or edit.end < burst.start - _NEAR or edit.start > burst.new_end + _NEAR:
            if burst is not None:
                self._finish(document.uri, burst, before)
            self._bursts[document.uri] = _Burst(before, edit.start, edit.end, edit.start + len(edit.text))
            return
        burst.old_end += max(0, edit.end - burst.new_end)
        burst.new_end = max(burst.new_end, edit.end) + grown
        burst.start = min(burst.start, edit.start)

    def _finish(self, uri: str, burst: _Burst, now: Text) -> None:
        """Remember a change that is over; nothing of one that only wrote something new, or much."""
        if burst.old_end - burst.start > MAX_OLD or burst.new_end - burst.start > MAX_OLD:
            return
        lines = [
            _lines(content, burst.start, end) for content, end in ((burst.before, burst.old_end), (now, burst.new_end))
        ]
        if lines[0].strip() and lines[0] != lines[1] and max(map(len, lines)) <= MAX_OLD:
            self._finished.append(ChangedLines(uri=uri, before=lines[0], after=lines[1]))

    def finished(self) -> list[ChangedLines]:
        """What was changed before the change under way, the latest last."""
        return list(self._finished)

    def closed(self, document: Document) -> None:
        self._bursts.pop(document.uri, None)
        self._latest.pop(document.uri, None)

    def latest(self, document: Document) -> Change | None:
        """The last change, widened to whole words; None when nothing was replaced."""
        burst = self._bursts.get(document.uri)
        if burst is None or burst.old_end - burst.start > MAX_OLD or burst.new_end - burst.start > MAX_OLD:
            return None
        now, before = document.content, burst.before
        start, old_end, new_end = burst.start, burst.old_end, burst.new_end
        if _is_word(now.slice(start, min(start + 1, new_end))) or _is_word(
            before.slice(start, min(start + 1, old_end))
        ):
            while start > 0 and _is_word(now.slice(start - 1, start)):
                start -= 1
        if _is_word(now.slice(max(start, new_end - 1), new_end)) or _is_word(before.slice(old_end - 1, old_end)):
            while _is_word(behind := now.slice(new_end, new_end + 1)) and behind == before.slice(old_end, old_end + 1):
                old_end, new_end = old_end + 1, new_end + 1
        old, new = before.slice(start, old_end), now.slice(start, new_end)
        return Change(start=start, old=old, new=new) if old != new else None


def _lines(content: Text, start: int, end: int) -> str:
    """The whole lines from `start` to `end`, without the last line end."""
    first, _ = content.line_span(content.line_at(start)[0])
    _, last = content.line_span(content.line_at(end)[0])
    return content.slice(first, last)


def _is_word(character: str) -> bool:
    return _WORD_CHARACTER.fullmatch(character) is not None
