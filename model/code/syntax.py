"""A parsed text: the leaf at an offset, and whether an insertion leaves the text parsing no worse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property

from tree_sitter import Node, Parser, Point, Tree

from .brackets import Brackets
from .languages import Language, language_for, parser_for

MAX_LINES = 8_000
MAX_CHARACTERS = 500_000
_LONE_CR = re.compile(r"\r(?!\n)")


def _source(text: str) -> bytes:
    """UTF-8 with as many lines for the grammar as for the editor; a lone surrogate becomes `?`."""
    return (_LONE_CR.sub("\n", text) if "\r" in text else text).encode("utf-8", "replace")


class Syntax:
    """The syntax tree of one text. Offsets are in characters."""

    def __init__(
        self, text: str, name: str, parser: Parser, language: Language, previous: Syntax | None = None
    ) -> None:
        self.name, self.language = name, language
        self._text = text
        self._source = _source(text)
        self._parser = parser
        if previous is None or previous.language != language:
            self._tree = parser.parse(self._source)
        elif self._source == previous._source:
            self._tree = previous._tree
        else:
            start, old_end, new_end = _difference(previous._source, self._source)
            self._tree = _parse_edited(parser, previous._tree, previous._source, self._source, start, old_end, new_end)

    @classmethod
    def parse(cls, text: str, language: str, previous: Syntax | None = None) -> Syntax | None:
        """The tree, or None where there is no grammar or the text is too long to parse between two keystrokes.

        Args:
            previous: the tree of a text that differs little. What the two have in common is not parsed again.
        """
        parser, entry = parser_for(language), language_for(language)
        if (
            parser is None
            or entry is None
            or len(text) > MAX_CHARACTERS
            or text.count("\n") + text.count("\r") >= MAX_LINES
        ):
            return None
        return cls(text, language, parser, entry, previous)

    def leaf_at(self, offset: int) -> Node | None:
        """The smallest node that holds the character at `offset`."""
        start = self._byte(offset)
        return self._tree.root_node.descendant_for_byte_range(start, start + 1)

    def node_over(self, start: int, end: int) -> Node | None:
        """The smallest node that holds the characters from `start` to `end`."""
        return self._tree.root_node.descendant_for_byte_range(self._byte(start), self._byte(end))

    def start_of(self, node: Node) -> int:
        """The offset of a node's first character."""
        return self._character(node.start_byte)

    def end_of(self, node: Node) -> int:
        """The offset behind a node's last character."""
        return self._character(node.end_byte)

    def problem_nodes(self) -> list[Node]:
        """The ERROR and missing nodes, in the order of the text."""
        return sorted(_problem_nodes(self._tree.root_node), key=lambda node: (node.start_byte, node.end_byte))

    @cached_property
    def problems(self) -> int:
        """How many ERROR and missing nodes the text has."""
        return _problems(self._tree.root_node)

    def problems_with(self, offset: int, insertion: str) -> int:
        """How many problems the text has with `insertion` at `offset`."""
        return len(self.problem_nodes_with(offset, insertion))

    def problem_nodes_with(self, offset: int, insertion: str) -> list[Node]:
        """As `problem_nodes`, with `insertion` at `offset`.

        A good line may end in the `{` or the word that opens a block, to go on below: if it is not closed there, it is
        taken as closed.
        """
        nodes = self._problem_nodes_with(offset, insertion)
        closing = self._closing_of(offset, insertion) if len(nodes) > self.problems else ""
        return min(nodes, self._problem_nodes_with(offset, insertion + closing), key=len) if closing else nodes

    def _problem_nodes_with(self, offset: int, insertion: str) -> list[Node]:
        start, inserted = self._byte(offset), _source(insertion)
        changed = self._source[:start] + inserted + self._source[start:]
        tree = _parse_edited(self._parser, self._tree, self._source, changed, start, start, start + len(inserted))
        return list(_problem_nodes(tree.root_node))

    def _closing_of(self, offset: int, insertion: str) -> str:
        if self.language.block_opener == "{" and insertion.endswith("{"):
            return Brackets(insertion).closing
        line = self._text[max(self._text.rfind("\n", 0, offset), self._text.rfind("\r", 0, offset)) + 1 : offset]
        closer = self.language.closer_after((line + insertion).rpartition("\n")[2])
        return f"\n{closer}\n" if closer.isalpha() else ""

    def _character(self, byte: int) -> int:
        return byte if len(self._source) == len(self._text) else len(self._source[:byte].decode("utf-8"))

    def _byte(self, offset: int) -> int:
        return offset if len(self._source) == len(self._text) else len(_source(self._text[:offset]))


def _parse_edited(parser: Parser, tree: Tree, old: bytes, new: bytes, start: int, old_end: int, new_end: int) -> Tree:
    """The tree of `new`, which has the bytes from `start` to `new_end` where `old` has those to `old_end`."""
    edited = tree.copy()
    edited.edit(
        start_byte=start,
        old_end_byte=old_end,
        new_end_byte=new_end,
        start_point=_point(old, start),
        old_end_point=_point(old, old_end),
        new_end_point=_point(new, new_end),
    )
    return parser.parse(new, edited)


def _difference(old: bytes, new: bytes) -> tuple[int, int, int]:
    """Where two texts begin to differ, and where in each of them they are the same again. Never inside a character."""
    start = _common_prefix(old, new, min(len(old), len(new)))
    while 0 < start < max(len(old), len(new)) and (_continues(old, start) or _continues(new, start)):
        start -= 1
    limit = min(len(old), len(new)) - start
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    while low and _continues(old, len(old) - low):
        low -= 1
    return start, len(old) - low, len(new) - low


def _common_prefix(old: bytes, new: bytes, high: int) -> int:
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _continues(source: bytes, position: int) -> bool:
    """Whether the byte at `position` is not the first of its character."""
    return position < len(source) and source[position] & 0xC0 == 0x80


def _point(source: bytes, offset: int) -> Point:
    point: Point = Point(row=source.count(b"\n", 0, offset), column=offset - source.rfind(b"\n", 0, offset) - 1)
    return point


def _problems(node: Node) -> int:
    return sum(1 for _ in _problem_nodes(node))


def _problem_nodes(root: Node) -> Iterator[Node]:
    pending = [root]
    while pending:
        node = pending.pop()
        if node.is_error or node.is_missing:
            yield node
        if node.has_error:
            pending.extend(node.children)
