"""A place to fill in a text, and how its lines are measured. It travels to the engine, which so knows where to stop."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from .languages import language_for

Kind = Literal["line", "statement", "block", "body"]
MAX_TOKENS: dict[Kind, int] = {"line": 48, "statement": 64, "block": 128, "body": 128}
TAB_SIZE = 8
_LINE_END = re.compile(r"[\r\n]")


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be filled, the text around it, and what ends it."""

    kind: Kind
    prefix: str
    """All text before the cursor, or as much of it as is looked at."""
    suffix: str
    """All text after the cursor, likewise."""
    language: str = ""
    """The language id; empty where nothing is known of the text."""
    indentation: int = 0
    """Columns. The first later line with fewer ends a block or body."""
    header_indentation: str = ""
    """Leading white space of the line that opens the block."""

    @property
    def closers(self) -> tuple[str, ...]:
        """What a line begins with that closes the block."""
        language = language_for(self.language)
        return language.closers if language else ()

    @property
    def stop_at_line_end(self) -> bool:
        return self.kind == "line"

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS[self.kind]

    @property
    def line_prefix(self) -> str:
        """Text between the start of the line and the cursor."""
        return self.prefix[line_start(self.prefix, len(self.prefix)) :]

    @property
    def line_suffix(self) -> str:
        """Text between the cursor and the end of the line."""
        return self.suffix[: line_end(self.suffix, 0)]


def line_start(text: str, offset: int) -> int:
    """The offset at which the line of `offset` starts."""
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def line_end(text: str, offset: int) -> int:
    """The offset at which the content of the line of `offset` ends."""
    match = _LINE_END.search(text, offset)
    return match.start() if match else len(text)


def leading_space(line: str) -> str:
    """The white space that a line begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def width(indentation: str) -> int:
    """Columns that white space takes."""
    return len(indentation.expandtabs(TAB_SIZE))


def next_line(suffix: str) -> str | None:
    """The first line after the cursor's own that is not blank."""
    position = line_end(suffix, 0)
    while position < len(suffix):
        start = position + 1
        position = line_end(suffix, start)
        if suffix[start:position].strip():
            return suffix[start:position]
    return None


def with_line_feeds(text: str) -> str:
    """CRLF and CR as LF, which is all that the model has seen."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
