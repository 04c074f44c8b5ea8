"""A long text that is edited at every keystroke: immutable, in chunks of whole lines, so that an edit copies one chunk.

Lines end at LF, CR or CRLF and nowhere else. `str.splitlines` also breaks at form feeds, NEL and U+2028, which editors
do not: one such character would put every later edit on the wrong line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate, islice

LINE_END = re.compile(r"\r\n|\r|\n")
_CHUNK = 4_096
"""Characters that a chunk has when it is cut; its line is kept whole, however long."""


class Text:
    """Whoever holds one holds a snapshot. Offsets are in characters.

    No chunk but the last lacks a line end, and none ends between CR and LF: so a line lies in one chunk, and the line
    ends of a chunk do not depend on its neighbours.
    """

    __slots__ = ("_chunks", "_lines", "_offsets")

    def __init__(self, text: str = "") -> None:
        self._chunks = _cut(text)
        self._offsets = [0, *accumulate(map(len, self._chunks))]  # [chunks + 1] characters before each chunk
        self._lines = [0, *accumulate(map(_count_line_ends, self._chunks))]  # [chunks + 1] line ends before each chunk

    def __len__(self) -> int:
        return self._offsets[-1]

    def __str__(self) -> str:
        return "".join(self._chunks)

    @property
    def line_count(self) -> int:
        """At least 1: after the last line end comes one more line, which may be empty."""
        return self._lines[-1] + 1

    def slice(self, start: int, end: int) -> str:
        """The characters from `start` to `end`; what lies outside the text is left out."""
        start, end = max(0, start), min(end, len(self))
        if start >= end:
            return ""
        first, last = self._chunk_of(start), self._chunk_of(end - 1)
        if first == last:
            return self._chunks[first][start - self._offsets[first] : end - self._offsets[first]]
        return "".join(
            [
                self._chunks[first][start - self._offsets[first] :],
                *self._chunks[first + 1 : last],
                self._chunks[last][: end - self._offsets[last]],
            ]
        )

    def replace(self, start: int, end: int, new: str) -> Text:
        """The text with `new` in place of the characters from `start` to `end`.

        Raises:
            ValueError: the range ends before it starts or leaves the text.
        """
        if not 0 <= start <= end <= len(self):
            raise ValueError(f"range: {start} to {end} is not within a text of {len(self)} characters")
        first, last = self._chunk_of(start), self._chunk_of(end)
        changed = (
            self._chunks[first][: start - self._offsets[first]] + new + self._chunks[last][end - self._offsets[last] :]
        )
        # A chunk that became small, lost its line end or now ends before an LF takes in the next one.
        while last + 1 < len(self._chunks) and (
            len(changed) < _CHUNK // 4
            or changed[-1] not in "\r\n"
            or (changed[-1] == "\r" and self._chunks[last + 1].startswith("\n"))
        ):
            last += 1
            changed += self._chunks[last]
        if first and changed.startswith("\n") and self._chunks[first - 1].endswith("\r"):
            first -= 1
            changed = self._chunks[first] + changed
        return self._with_chunks(first, last + 1, _cut(changed))

    def _with_chunks(self, first: int, end: int, chunks: list[str]) -> Text:
        """The text with `chunks` in place of those from `first` to `end`; the sums of the others are shifted."""
        if chunks == [""] and (first or end < len(self._chunks)):
            chunks = []
        text = Text.__new__(Text)
        text._chunks = self._chunks[:first] + chunks + self._chunks[end:]
        text._offsets = _spliced(self._offsets, first, end, [len(chunk) for chunk in chunks])
        text._lines = _spliced(self._lines, first, end, [_count_line_ends(chunk) for chunk in chunks])
        return text

    def line_span(self, line: int) -> tuple[int, int]:
        """Offsets of the content of a 0-based line, its line end excluded. A line beyond the last is the empty end."""
        if line >= self.line_count:
            return len(self), len(self)
        index = min(bisect_right(self._lines, line), len(self._chunks)) - 1
        chunk = self._chunks[index]
        skipped = line - self._lines[index]
        before = next(islice(LINE_END.finditer(chunk), skipped - 1, None), None) if skipped else None
        start = before.end() if before else 0
        end, _ = _next_line_end(chunk, start)
        return self._offsets[index] + start, self._offsets[index] + end

    def line_at(self, offset: int) -> tuple[int, int]:
        """The 0-based line that holds `offset`, and the offset at which it starts."""
        index = self._chunk_of(offset)
        line, start = self._lines[index], 0
        within = offset - self._offsets[index]
        chunk = self._chunks[index]
        if "\r" not in chunk:
            return line + chunk.count("\n", 0, within), self._offsets[index] + chunk.rfind("\n", 0, within) + 1
        for match in LINE_END.finditer(chunk):
            if match.end() > within:
                break
            line, start = line + 1, match.end()
        return line, self._offsets[index] + start

    def _chunk_of(self, offset: int) -> int:
        """The index of the chunk that holds the character at `offset`; the last one at the end of the text."""
        return min(bisect_right(self._offsets, offset), len(self._chunks)) - 1


def _cut(text: str) -> list[str]:
    """Chunks of whole lines, at least one."""
    chunks = []
    start = 0
    while len(text) - start > 2 * _CHUNK:
        _, end = _next_line_end(text, start + _CHUNK)
        if end == len(text):
            break
        chunks.append(text[start:end])
        start = end
    return [*chunks, text[start:]]


def _next_line_end(text: str, start: int) -> tuple[int, int]:
    """Where the first line end from `start` on begins and ends; both the end of the text where there is none.

    A regular expression takes a hundred times as long over a line of some megabytes.
    """
    line_feed = text.find("\n", start)
    before = len(text) if line_feed < 0 else line_feed
    carriage_return = text.find("\r", start, before)
    if carriage_return < 0:
        return before, min(before + 1, len(text))
    return carriage_return, carriage_return + 1 + (carriage_return + 1 == line_feed)


def _count_line_ends(chunk: str) -> int:
    return sum(1 for _ in LINE_END.finditer(chunk)) if "\r" in chunk else chunk.count("\n")


def _spliced(sums: list[int], first: int, end: int, sizes: list[int]) -> list[int]:
    """Running sums after the parts from `first` to `end` were replaced by parts of these sizes."""
    replaced = list(accumulate(sizes, initial=sums[first]))
    shift = replaced[-1] - sums[end]
    return sums[:first] + replaced + [value + shift for value in sums[end + 1 :]]
