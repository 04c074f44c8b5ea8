"""Reads an answer as code while it grows: whether its span has ended, and where it breaks the code around it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..tokenizer import Tokenizer
from .brackets import Brackets
from .fitting import end_of, ends_in_string, without_overlap
from .span import Span
from .syntax import Syntax

_MOST_LOOKED_BACK = 24
"""Tokens before the end of an error among which its cause is looked for."""
_GOES_ON = re.compile(r"[^\w)\]}\"'`;]$")
"""A line that ends so may need the next one: behind an operator, a comma, an opening bracket, a colon."""
_BELONGS_TO_NEXT = re.compile(r"\s*(@|#\[|\[|template\b)")
"""A line that begins so may be said of the next one: decorators, annotations, attributes."""
_NEXT_WORD = re.compile(r"[^\S\n]*(\w+|[^\w\n])")
_SEMICOLONS = {"c", "cpp", "csharp", "css", "java", "php", "rust"}
"""Languages in which only `;` and `}` end a line for certain."""


@dataclass(frozen=True)
class Fault:
    """Where an answer breaks the code around it. One of its decisions from `first` to `last` is to be taken back."""

    first: int
    """So many tokens are sound."""
    last: int
    """Index of a token; the number of tokens stands for the decision to end there."""


class Guide:
    """The reader of one answer. The text around it is parsed when it is first needed, and once."""

    def __init__(self, span: Span, tokenizer: Tokenizer, *, space: bool = False) -> None:
        """
        Args:
            space: the answer begins with a space that the text before the cursor has already.
        """
        self._span, self._tokenizer, self._space = span, tokenizer, space
        self._asked: tuple[tuple[int, ...], bool] | None = None
        self._answered: Fault | None = None

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether the answer has come to the end of its span."""
        return end_of(self._text(tokens), self._span, finished=False) is not None

    def fault(self, tokens: Sequence[int], finished: bool) -> Fault | None:
        """The new error in these tokens, if tree-sitter sees one.

        A finished answer is looked at where it will stand. Of one that goes on only whole lines are, and only what is
        wrong within a line: what stops in the middle of something is no error for that.
        """
        if not tokens or not (finished or self._tokenizer.ends_line[tokens[-1]]) or self._syntax is None:
            return None
        asked = (tuple(tokens), finished)
        if asked != self._asked:  # a block is looked at before it becomes a part of the answer, and then again
            self._asked, self._answered = asked, self._find_fault(tokens, finished)
        return self._answered

    def _find_fault(self, tokens: Sequence[int], finished: bool) -> Fault | None:
        text = self._text(tokens)
        text = self._fitted(text) if finished else self._whole_lines(text)
        end = self._error_end(text, closed=not finished or "\n" not in text, within_line=not finished)
        if end is None:
            return Fault(len(tokens) - 1, len(tokens)) if finished and self._ends_too_early(text) else None
        beginnings = [self._text(tokens[:count]) for count in range(len(tokens) + 1)]
        last = next((index for index in range(len(tokens)) if len(beginnings[index + 1]) >= end), len(tokens))
        if finished and end >= len(text):
            last = len(tokens)  # to end there may be what is wrong
        earliest = max(0, last - _MOST_LOOKED_BACK)
        counts = range(min(last, len(tokens) - 1), earliest, -1)
        first = next((count for count in counts if self._is_sound(beginnings[count])), earliest)
        while first > earliest and beginnings[first].rstrip() == beginnings[first - 1].rstrip():
            first -= 1  # white space is sound behind anything, but where it stands a bracket may be missing
        return Fault(first, last)

    @cached_property
    def _syntax(self) -> Syntax | None:
        return Syntax.parse(self._span.prefix + self._span.suffix, self._span.language)

    def _text(self, tokens: Sequence[int]) -> str:
        text = self._tokenizer.decode(tokens)
        return text.removeprefix(" ") if self._space else text

    def _fitted(self, text: str) -> str:
        """What is left of a finished answer where it is put in."""
        return without_overlap(text[: end_of(text, self._span, finished=True)], self._span).rstrip()

    def _whole_lines(self, text: str) -> str:
        """The lines that are finished, whatever follows; empty when the last of them may go on in the next."""
        lines = self._span.line_prefix + text.rpartition("\n")[0]
        line = lines.rpartition("\n")[2].rstrip()
        syntax = self._syntax
        if (
            syntax is None
            or not line
            or _GOES_ON.search(line)
            or (syntax.name in _SEMICOLONS and line[-1] not in ";}")
            or _BELONGS_TO_NEXT.match(line)
            or any(closer.isalpha() for closer in syntax.language.closers)
            or ends_in_string(lines)
            or set(Brackets(lines).open) - {"{"}
        ):
            return ""
        return text.rpartition("\n")[0]

    def _ends_too_early(self, text: str) -> bool:
        """Whether the line needs no more than its brackets closed to be better, and does not look like going on."""
        syntax, span = self._syntax, self._span
        line = (span.line_prefix + text).rpartition("\n")[2].rstrip()
        closing = Brackets(line + span.line_suffix).closing
        if syntax is None or not closing or _GOES_ON.search(line):
            return False
        place = len(span.prefix)
        return syntax.problems_with(place, text + closing) < syntax.problems_with(place, text)

    def _is_sound(self, text: str) -> bool:
        return self._error_end(self._fitted(text), closed=True) is None

    def _error_end(self, text: str, *, closed: bool, within_line: bool = False) -> int | None:
        """Where in `text` a new error ends, the word behind it included, or None.

        Args:
            closed: brackets that `text` leaves open may be closed behind it.
            within_line: only an error that does not reach from one line into another counts.
        """
        if not text.strip():
            return None
        end = self._error_end_as_is(text, within_line)
        closing = Brackets(text).closing if closed and end is not None else ""
        return self._error_end_as_is(text.rstrip(", ") + closing, within_line) if closing else end

    def _error_end_as_is(self, text: str, within_line: bool) -> int | None:
        syntax, span = self._syntax, self._span
        if syntax is None:
            return None
        nodes = syntax.problem_nodes_with(len(span.prefix), text)
        start = _size(span.prefix)
        stop, line = start + _size(text), start
        if not Brackets(span.line_prefix + span.line_suffix).open:  # else the line may well go on in the next
            line -= _size(span.line_prefix)
        own = [node for node in nodes if node.is_error and line <= node.start_byte < stop and node.end_byte > start]
        if within_line:
            own = [node for node in own if node.start_point.row == node.end_point.row]
        if own:
            smallest = min(own, key=lambda node: node.end_byte - node.start_byte)
            end = len(text.encode("utf-8", "replace")[: smallest.end_byte - start].decode("utf-8", "ignore"))
            return end + _size_of_next_word(text[end:])
        return len(text) if len(nodes) > syntax.problems and not within_line else None


def _size_of_next_word(text: str) -> int:
    """An error often ends before the word that makes it one: of `a b` the parser skips the `a`."""
    match = _NEXT_WORD.match(text)
    return match.end() if match else 0


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
