"""From what the model filled in to what is inserted: cut where the span ends, without what the file already says."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import gcd
from typing import TYPE_CHECKING

from diffill.model.code.brackets import Brackets
from diffill.model.code.fitting import end_of, without_overlap
from diffill.model.code.span import Span, leading_space, next_line, width, with_line_feeds
from diffill.model.request import Finish

from .plain_text import hides_something, without_loops

if TYPE_CHECKING:
    from diffill.model.code.syntax import Syntax

_LINE_END = re.compile(r"\r\n|\r|\n")
_NEARBY = 8_000
"""Characters on each side of the cursor that tell how the file is indented."""


def insertion(filled: str, span: Span, syntax: Syntax | None, *, finish: Finish, indentation: str = "") -> str:
    """The text to insert at the cursor, with the file's own line ends; empty when nothing is worth showing.

    Args:
        filled: the model's text, LF line ends.
        finish: `length` means that the last line may be cut short.
        indentation: one level, as the editor writes it; for a file in which nothing is indented yet.
    """
    text = with_line_feeds(filled).split("\ufffd")[0]  # a character cut in two decodes as U+FFFD
    text = without_loops(_stop(_indent_as_file(text, span, indentation), span, finish))
    text = without_overlap(text, span).rstrip()
    if not text.strip() or _repeats_next_line(text, span) or hides_something(text, span.prefix + span.suffix):
        return ""
    if syntax is not None:
        text = _parsing_no_worse(text, span, syntax)
        if not text.strip():
            return ""
    if span.kind in ("block", "body") and "\n" in text and span.line_suffix.lstrip().startswith("}"):
        text += "\n" + span.header_indentation
    return text.replace("\n", _line_end_of(span))


def _stop(text: str, span: Span, finish: Finish) -> str:
    """Cut where the span ends."""
    if finish == "length" and span.kind != "line" and "\n" in text.strip():
        text = text[: text.rindex("\n")]
    if span.kind in ("block", "body") and not span.line_prefix.strip() and not text.partition("\n")[0].strip():
        text = text.lstrip(" \t\n")  # blank lines before the first one would leave white space at the cursor
    return text[: end_of(text, span, finished=True)]


def _repeats_next_line(text: str, span: Span) -> bool:
    """Whether the first new line is the one that follows in the file."""
    following = next_line(span.suffix)
    if following is None or span.line_suffix.strip():
        return False
    first, *_ = text.strip().split("\n", 1)
    if "\n" not in text.lstrip("\n") and not text.startswith("\n"):
        first = span.line_prefix + first
    return first.strip() == following.strip()


def _parsing_no_worse(text: str, span: Span, syntax: Syntax) -> str:
    """`text` less as many of its last lines as it takes to parse no worse than the file did without it.

    A line that leaves a bracket open (`call(`) is closed, as an editor does when the bracket is typed.
    """
    offset = len(span.prefix)
    while text.strip():
        if syntax.problems_with(offset, text) <= syntax.problems:
            return text
        closed = text.rstrip(", ") + Brackets(text).closing
        if closed != text and "\n" not in text and syntax.problems_with(offset, closed) <= syntax.problems:
            return closed
        text = text.rpartition("\n")[0].rstrip()
    return ""


def _indent_as_file(text: str, span: Span, indentation: str) -> str:
    """Leading white space of the later lines in tabs or spaces, as the file has it; else as the editor would."""
    if "\n" not in text:
        return text
    around = span.prefix[-_NEARBY:] + "\n" + span.suffix[:_NEARBY]
    file_widths = [leading_space(line) for line in _LINE_END.split(around) if line[:1] in " \t" and line.strip()]
    tabs = sum(space.startswith("\t") for space in file_widths)
    if not file_widths and (span.line_prefix[:1].isspace() or not indentation):
        return text
    if not file_widths:
        level = gcd(*(width(leading_space(line)) for line in text.split("\n")[1:] if line.strip())) or 1
        return _relead(text, lambda space: indentation * (width(space) // level))
    if tabs * 2 > len(file_widths):
        spaces = [len(space) for line in text.split("\n")[1:] if (space := leading_space(line)) and "\t" not in space]
        unit = max(2, gcd(*spaces)) if spaces else 4
        return _relead(text, lambda space: "\t" * (width(space) // unit) if "\t" not in space else space)
    unit = gcd(*(len(space) for space in file_widths)) if tabs == 0 else 4
    return _relead(text, lambda space: space.expandtabs(max(2, unit)) if "\t" in space else space)


def _relead(text: str, change: Callable[[str], str]) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(change(space := leading_space(line)) + line[len(space) :] for line in rest)])


def _line_end_of(span: Span) -> str:
    """The line end nearest to the cursor; LF in a text of one line."""
    before = span.prefix[-_NEARBY:]
    matches = _LINE_END.findall(before)
    if matches:
        return str(matches[-1])
    match = _LINE_END.search(span.suffix)
    return match.group() if match else "\n"
