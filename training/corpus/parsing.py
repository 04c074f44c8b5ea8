"""Whether a text parses in its language."""

from __future__ import annotations

import importlib
import symtable
import warnings
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

GRAMMARS = {
    "javascript": ("tree_sitter_javascript", "language"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "java": ("tree_sitter_java", "language"),
    "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"),
    "c": ("tree_sitter_c", "language"),
    "cpp": ("tree_sitter_cpp", "language"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "shell": ("tree_sitter_bash", "language"),
}
PREPROCESSED_ERRORS = 0.02
"""Share of a C or C++ file that may be unparsed: a macro is not in the grammar. Elsewhere nothing may be."""


def parses(text: str, language: str) -> bool:
    """Whether a parser of the language takes the text."""
    if language == "python":
        return _python_parses(text)
    source = text.encode("utf-8", "replace")
    root = _parser(language).parse(source).root_node
    if not root.has_error:
        return True
    return language in ("c", "cpp") and _unparsed(root) <= PREPROCESSED_ERRORS * len(source)


def _python_parses(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes are not our news
            symtable.symtable(text, "", "exec")  # twice as fast as ast.parse: no tree is made of Python objects
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


@cache
def _parser(language: str) -> Parser:
    import tree_sitter

    package, function = GRAMMARS[language]
    return tree_sitter.Parser(tree_sitter.Language(getattr(importlib.import_module(package), function)()))


def _unparsed(root: Node) -> int:
    """Bytes under nodes that are errors."""
    total = 0
    open_nodes = [root]
    while open_nodes:
        node = open_nodes.pop()
        if node.is_error or node.is_missing:
            total += max(1, node.end_byte - node.start_byte)
        elif node.has_error:
            open_nodes.extend(node.children)
    return total
