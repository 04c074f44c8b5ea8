"""A parsed text: the leaf at an offset, and whether an insertion leaves the text parsing no worse."""

from __future__ import annotations

import re
from functools import cached_property

from tree_sitter import Node, Parser, Point

from .brackets import CLOSERS, Brackets
from .languages import LANGUAGES, Language, parser_for

MAX_LINES = 8_000
MAX_CHARACTERS = 500_000
_LONE_CR = re.compile(r"\r(?!\n)")


def _source(text: str) -> bytes:
    """UTF-8 with as many lines for the grammar as for the editor; a lone surrogate becomes `?`."""
    return (_LONE_CR.sub("\n", text) if "\r" in text else text).encode("utf-8", "replace")


class Syntax:
    """The syntax tree of one text. Offsets are in characters."""

    def __init__(self, text: str, parser: Parser, language: Language) -> None:
        self.language = language
        self._text = text
        self._source = _source(text)
        self._parser = parser
        self._tree = parser.parse(self._source)

    @classmethod
    def parse(cls, text: str, language: str) -> Syntax | None:
        """The tree, or None where there is no grammar or the text is too long to parse between two keystrokes."""
        parser = parser_for(language)
        if parser is None or len(text) > MAX_CHARACTERS or text.count("\n") + text.count("\r") >= MAX_LINES:
            return None
        return cls(text, parser, LANGUAGES[language])

    def leaf_at(self, offset: int) -> Node | None:
        """The smallest node that holds the character at `offset`."""
        start = self._byte(offset)
        return self._tree.root_node.descendant_for_byte_range(start, start + 1)

    def start_of(self, node: Node) -> int:
        """The offset of a node's first character."""
        if len(self._source) == len(self._text):
            return node.start_byte
        return len(self._source[: node.start_byte].decode("utf-8"))

    @cached_property
    def problems(self) -> int:
        """How many ERROR and missing nodes the text has."""
        return _problems(self._tree.root_node)

    def problems_with(self, offset: int, insertion: str) -> int:
        """As `problems`, with `insertion` at `offset`.

        A good line may end in `{`, `(` or a comma, to go on below: then what it leaves open is closed behind it.
        """
        start = self._byte(offset)
        goes_on = insertion.endswith((*CLOSERS, ","))
        inserted = _source(insertion + (Brackets(insertion).closing if goes_on else ""))
        tree = self._tree.copy()
        tree.edit(
            start_byte=start,
            old_end_byte=start,
            new_end_byte=start + len(inserted),
            start_point=(at := _point(self._source, start)),
            old_end_point=at,
            new_end_point=_point(
                changed := self._source[:start] + inserted + self._source[start:], start + len(inserted)
            ),
        )
        return _problems(self._parser.parse(changed, tree).root_node)

    def _byte(self, offset: int) -> int:
        return offset if len(self._source) == len(self._text) else len(_source(self._text[:offset]))


def _point(source: bytes, offset: int) -> Point:
    point: Point = Point(row=source.count(b"\n", 0, offset), column=offset - source.rfind(b"\n", 0, offset) - 1)
    return point


def _problems(node: Node) -> int:
    count = 0
    pending = [node]
    while pending:
        node = pending.pop()
        count += node.is_error or node.is_missing
        if node.has_error:
            pending.extend(node.children)
    return count
