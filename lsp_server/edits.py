"""From what the model filled in to what is inserted: cut where the span ends, without what the file already says."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import gcd
from typing import TYPE_CHECKING

from diffill.model.code.brackets import CLOSERS, Brackets
from diffill.model.request import Finish

from .plain_text import hides_something, without_loops
from .prompt import with_line_feeds
from .span import Span, leading_space, next_line, width

if TYPE_CHECKING:
    from diffill.model.code.syntax import Syntax

_LINE_END = re.compile(r"\r\n|\r|\n")
_ONLY_CLOSERS = re.compile(r"[\s)\]};,]*")
_MIN_OVERLAP_OF_WORDS = 4
"""Characters. A shorter overlap that holds letters is chance."""
_NEARBY = 8_000
"""Characters on each side of the cursor that tell how the file is indented."""


def insertion(filled: str, span: Span, syntax: Syntax | None, *, finish: Finish) -> str:
    """The text to insert at the cursor, with the file's own line ends; empty when nothing is worth showing.

    Args:
        filled: the model's text, LF line ends.
        finish: `length` means that the last line may be cut short.
    """
    text = with_line_feeds(filled).split("\ufffd")[0]  # a character cut in two decodes as U+FFFD
    text = without_loops(_stop(_indent_as_file(text, span), span, finish))
    text = _without_overlap(text, span).rstrip()
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
    if span.kind == "line":
        return text.split("\n", 1)[0]
    if finish == "length" and "\n" in text.strip():
        text = text[: text.rindex("\n")]
    if span.kind == "statement":
        return _first_statement(text, span)
    return _until_dedent(text, span)


def _first_statement(text: str, span: Span) -> str:
    """Up to the first line end at which no bracket of this line is open any more."""
    brackets = Brackets(span.line_prefix)
    for index, character in enumerate(text):
        if character == "\n" and not brackets.open and text[:index].strip():
            return text[:index]
        brackets.feed(character)
    return text


def _until_dedent(text: str, span: Span) -> str:
    """Up to the first line that is indented less than the block; its closing bracket stays if the file lacks it."""
    on_header_line = bool(span.line_prefix.strip())
    lines = text.split("\n")
    if on_header_line and lines[0].strip() and not lines[0].lstrip().startswith(("#", "//")):
        return lines[0]  # `if x: return`
    if not on_header_line and not lines[0].strip():
        # Blank lines before the first one would leave white space at the cursor.
        text = text.lstrip("\n") if text.strip(" \n") else ""
        lines = text.lstrip(" \t\n").split("\n")
    kept = lines[:1]
    for line in lines[1:]:
        if line.strip() and width(leading_space(line)) < span.indentation:
            if line.lstrip().startswith(span.closers) and not _closes_next(span):
                kept.append(_closing_line(line))
            break
        kept.append(line)
    return "\n".join(kept)


def _closes_next(span: Span) -> bool:
    """Whether the file already closes the block right after the cursor."""
    following = span.line_suffix.strip() or next_line(span.suffix) or ""
    return following.lstrip().startswith(span.closers)


def _closing_line(line: str) -> str:
    """What of a line closes a block: brackets, or one word (`end`, `fi`, `</div>`)."""
    closers = _ONLY_CLOSERS.match(line)
    if closers and closers.group().strip():
        return closers.group().rstrip()
    word = re.match(r"\s*(</[\w-]+>|\w+)", line)
    return word.group() if word else ""


def _without_overlap(text: str, span: Span) -> str:
    """Drop the end of `text` that the suffix says again, and closing brackets that belong to the suffix."""
    after = span.line_suffix
    if after.strip():
        text = _without_foreign_closers(text, span)
    suffix = with_line_feeds(span.suffix[: len(text) + 2])
    line = span.line_prefix
    best, best_imbalance = text, _imbalance(line + text + after)
    for length in range(1, min(len(text), len(suffix)) + 1):
        overlap = suffix[:length]
        if not overlap.strip() or not text.endswith(overlap) or not _is_overlap(overlap):
            continue
        imbalance = _imbalance(line + text[:-length] + after)
        if imbalance <= best_imbalance:
            best, best_imbalance = text[:-length], imbalance
    return best


def _is_overlap(overlap: str) -> bool:
    has_words = any(character.isalnum() or character == "_" for character in overlap)
    return not has_words or len(overlap.strip()) >= _MIN_OVERLAP_OF_WORDS


def _imbalance(text: str) -> int:
    return Brackets(text).imbalance


def _without_foreign_closers(text: str, span: Span) -> str:
    """Cut before the first bracket that closes what the rest of the line closes already."""
    brackets = Brackets(span.line_prefix)
    reserved = sum(character in CLOSERS.values() for character in span.line_suffix)
    if len(brackets.open) < reserved:
        return text  # the rest of the line closes brackets of earlier lines; nothing is known about those
    unmatched = brackets.unmatched
    for index, character in enumerate(text):
        if brackets.feed(character) and (len(brackets.open) < reserved or brackets.unmatched > unmatched):
            return text[:index]
    return text


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


def _indent_as_file(text: str, span: Span) -> str:
    """Leading white space of the later lines in tabs or spaces, as the file has it."""
    around = span.prefix[-_NEARBY:] + "\n" + span.suffix[:_NEARBY]
    file_widths = [leading_space(line) for line in _LINE_END.split(around) if line[:1] in " \t" and line.strip()]
    tabs = sum(space.startswith("\t") for space in file_widths)
    if not file_widths or "\n" not in text:
        return text
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
