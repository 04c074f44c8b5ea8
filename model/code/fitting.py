"""Where an answer ends: with its span, and before what the suffix says already. One rule for engine and server."""

from __future__ import annotations

import re

from .brackets import CLOSERS, Brackets
from .span import Span, leading_space, next_line, width, with_line_feeds

_ONLY_CLOSERS = re.compile(r"[\s)\]};,]*")
_CLOSING_WORD = re.compile(r"\s*(</[\w-]+>|\w+)")
_UNFINISHED_CLOSER = re.compile(r"[\s)\]};,]*|\w+|</?[\w-]*>?")
_QUOTES_OF_LINES = ('"""', "'''", "`")
_MIN_OVERLAP_OF_WORDS = 4
"""Characters. A shorter overlap that holds letters is chance."""


def end_of(text: str, span: Span, *, finished: bool) -> int | None:
    """Where in `text`, which fills `span`, the span ends; None as long as it may go on.

    Args:
        finished: nothing comes behind `text`, so that its last line is what it is.
    """
    if span.kind == "line":
        return text.index("\n") if "\n" in text else None
    if span.kind == "statement":
        return _end_of_statement(text, span)
    return _end_of_block(text, span, finished=finished)


def without_overlap(text: str, span: Span) -> str:
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


def ends_in_string(text: str) -> bool:
    """Whether `text` stops inside a string that may reach over several lines."""
    return any(text.count(quotes) % 2 for quotes in _QUOTES_OF_LINES)


def _end_of_statement(text: str, span: Span) -> int | None:
    """The first line end at which no bracket of this line is open any more."""
    brackets = Brackets(span.line_prefix)
    for index, character in enumerate(text):
        if character == "\n" and not brackets.open and text[:index].strip():
            return index
        brackets.feed(character)
    return None


def _end_of_block(text: str, span: Span, *, finished: bool) -> int | None:
    """The end of the line before the first that is indented less; its closing bracket stays if the file lacks it."""
    lines = text.split("\n")
    on_header_line = bool(span.line_prefix.strip())
    if on_header_line and lines[0].strip() and not lines[0].lstrip().startswith(("#", "//")):
        return len(lines[0]) if len(lines) > 1 else None  # `if x: return`
    begun = on_header_line
    start = 0
    for number, line in enumerate(lines):
        code = line.lstrip()
        whole = finished or number < len(lines) - 1
        dedented = code and begun and number and _is_dedented(line, span, whole=finished)
        if dedented and not ends_in_string(text[:start]):
            if _closes_next(span) or not _may_close(code, span, whole=whole):
                return start - 1
            return start + len(_closing_line(line)) if whole or not _UNFINISHED_CLOSER.fullmatch(code) else None
        begun = begun or bool(code)
        start += len(line) + 1
    return None


def _is_dedented(line: str, span: Span, *, whole: bool) -> bool:
    """Whether a line begins further left than the block.

    Args:
        whole: the text is complete, and so is its indentation what the file uses. Before, tabs where the file has
            spaces (or the other way round) tell nothing.
    """
    space, own = leading_space(line), span.header_indentation or leading_space(span.line_prefix)
    if not whole and space and own and space[0] != own[0]:
        return False
    return width(space) < span.indentation


def _may_close(code: str, span: Span, *, whole: bool) -> bool:
    """Whether a line begins with what closes the block, or may come to."""
    return code.startswith(span.closers) or (not whole and any(word.startswith(code) for word in span.closers))


def _closes_next(span: Span) -> bool:
    """Whether the file already closes the block right after the cursor."""
    following = span.line_suffix.strip() or next_line(span.suffix) or ""
    return following.lstrip().startswith(span.closers)


def _closing_line(line: str) -> str:
    """What of a line closes a block: brackets, or one word (`end`, `fi`, `</div>`)."""
    closers = _ONLY_CLOSERS.match(line)
    if closers and closers.group().strip():
        return closers.group().rstrip()
    word = _CLOSING_WORD.match(line)
    return word.group() if word else ""


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
