"""Syntax trees of the languages that faults are made in and regions are widened by."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import tree_sitter
import tree_sitter_javascript
import tree_sitter_python
import tree_sitter_typescript
from tree_sitter import Node, Parser, Tree

GRAMMARS = {
    "python": tree_sitter_python.language,
    "javascript": tree_sitter_javascript.language,
    "typescript": tree_sitter_typescript.language_typescript,
    "tsx": tree_sitter_typescript.language_tsx,
}


def parse(source: bytes, language: str) -> Tree | None:
    """None for a language without a grammar here."""
    return _parser(language).parse(source) if language in GRAMMARS else None


def walk(root: Node) -> Iterator[Node]:
    """Every node, parents first, in the order of the text; by a cursor, so that deep trees cost no stack."""
    cursor = root.walk()
    while True:
        node = cursor.node
        if node is not None:
            yield node
        if cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return


def enclosing_lines(tree: Tree, start: int, end: int, *, limit: int) -> list[tuple[int, int]]:
    """Line ranges `[first, last)` of the nodes around lines `[start, end)`, smallest first, at most `limit` lines."""
    node = tree.root_node.descendant_for_point_range((start, 0), (max(start, end - 1), 0))
    found: list[tuple[int, int]] = []
    while node is not None and node.parent is not None:
        first, last = node.start_point.row, node.end_point.row + (node.end_point.column > 0)
        if last - first > limit:
            break
        if first <= start and last >= end and last > first and (first, last) not in found:
            found.append((first, last))
        node = node.parent
    return found


@functools.cache
def _parser(language: str) -> Parser:
    return Parser(tree_sitter.Language(GRAMMARS[language]()))
