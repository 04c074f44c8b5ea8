"""What is known of each language: its grammar, its files, and how it marks a block."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tree_sitter import Parser


@dataclass(frozen=True, kw_only=True)
class Language:
    """One language with a grammar. The grammar is imported when the first file of that language is parsed."""

    package: str
    function: str = "language"
    extensions: tuple[str, ...]
    block_opener: Literal[":", "{"] = "{"


# By the language ids of the protocol. A further language is one line here and its wheel in pyproject.toml.
LANGUAGES = {
    "javascript": Language(package="tree_sitter_javascript", extensions=(".js", ".mjs", ".cjs")),
    "javascriptreact": Language(package="tree_sitter_javascript", extensions=(".jsx",)),
    "python": Language(package="tree_sitter_python", extensions=(".py", ".pyi"), block_opener=":"),
    "typescript": Language(
        package="tree_sitter_typescript", function="language_typescript", extensions=(".ts", ".mts", ".cts")
    ),
    "typescriptreact": Language(package="tree_sitter_typescript", function="language_tsx", extensions=(".tsx",)),
}


@cache
def parser_for(language: str) -> Parser | None:
    """The parser of a language id, or None where there is no grammar."""
    entry = LANGUAGES.get(language)
    if entry is None:
        return None
    import tree_sitter

    grammar = getattr(importlib.import_module(entry.package), entry.function)()
    return tree_sitter.Parser(tree_sitter.Language(grammar))


def language_of(path: PurePath) -> str:
    """The language id that an editor would give a file; `plaintext` when the extension is not known."""
    for name, entry in LANGUAGES.items():
        if path.suffix.lower() in entry.extensions:
            return name
    return "plaintext"
