"""The part of a document around the cursor: the cost of a keystroke must not grow with the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .text import LINE_END, Text

if TYPE_CHECKING:
    from diffill.model.code.syntax import Syntax

WHOLE_LINES = 400
"""A file of at most so many lines (and `WHOLE_CHARACTERS`) is looked at as a whole."""
WHOLE_CHARACTERS = 100_000
_LINES_BEFORE = 250
"""Far more than a prompt holds: the tree is to be right at the cursor."""
_LINES_AFTER = 80
"""Fewer: an open quote makes the grammar read all that follows once more."""
_LOOK_BACK = 150
"""Lines searched for one that starts a definition, so that a window does not start inside of one."""
_MARGIN = 30
"""Lines. A window is kept while the cursor is at least this far from its ends, so that its tree can be kept too."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Some whole lines of a document."""

    text: str
    start: int
    """Offset in the document of the first character."""
    first_line: int
    end_line: int
    language: str
    previous: Window | None = field(default=None, repr=False, compare=False)
    _syntax: list[Syntax | None] = field(default_factory=list, repr=False, compare=False)

    @property
    def syntax(self) -> Syntax | None:
        """The tree of this part, made from the former one where there is one; None without a grammar."""
        from diffill.model.code.syntax import Syntax  # not before it is needed: `initialize` is answered without it

        if not self._syntax:
            previous = self.previous._syntax[0] if self.previous and self.previous._syntax else None
            self._syntax.append(Syntax.parse(self.text, self.language, previous))
            object.__setattr__(self, "previous", None)  # windows must not hang together for ever
        return self._syntax[0]


def window_at(content: Text, offset: int, language: str, previous: Window | None = None) -> Window:
    """The window for a cursor at `offset`; `previous` is the one before the last edits, if it is known."""
    if previous is not None and previous.language != language:
        previous = None
    former = previous.previous if previous is not None and not previous._syntax else previous
    if content.line_count <= WHOLE_LINES and len(content) <= WHOLE_CHARACTERS:
        first, end_line = 0, content.line_count
    else:
        line, _ = content.line_at(offset)
        if previous is not None and previous.first_line + _MARGIN <= line < previous.end_line - _MARGIN:
            first, end_line = previous.first_line, previous.end_line
        else:
            first, end_line = _definition_at(content, max(0, line - _LINES_BEFORE)), line + _LINES_AFTER
    start, end = content.line_span(first)[0], content.line_span(end_line)[1]
    if end - start > WHOLE_CHARACTERS:  # very long lines: data, or minified code
        start, end = max(start, offset - WHOLE_CHARACTERS // 2), min(end, offset + WHOLE_CHARACTERS // 2)
        former, language = None, ""
    return Window(
        text=content.slice(start, end),
        start=start,
        first_line=first,
        end_line=end_line,
        language=language,
        previous=former,
    )


def _definition_at(content: Text, line: int) -> int:
    """The line at or before `line` that is not indented, if one is near."""
    first = max(0, line - _LOOK_BACK)
    start, end = content.line_span(first)[0], content.line_span(line)[1]
    if end - start > WHOLE_CHARACTERS:
        return line
    lines = LINE_END.split(content.slice(start, end))
    for back, text in enumerate(reversed(lines)):
        if text[:1].isalpha() or text[:1] in ("@", "_"):
            return line - back
    return line
