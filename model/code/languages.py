"""What is known of each language: its grammar, its files, and how it marks a block."""

from __future__ import annotations

import importlib
import re
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
    block_opener: Literal[":", "{", ""] = "{"
    """The token after which a block's lines stand; empty where words open blocks, or nothing does."""
    word_blocks: tuple[tuple[str, str], ...] = ()
    """Pattern of a whole line that opens a block, and the word that closes it; empty where only indentation does."""
    comment: tuple[str, str] = ("// ", "")
    """What begins and ends a comment of one line."""

    @property
    def closers(self) -> tuple[str, ...]:
        """What a line begins with that closes a block."""
        words = tuple(dict.fromkeys(closer for _, closer in self.word_blocks if closer))
        return ("}", *words) if self.block_opener == "{" else words

    def closer_after(self, line: str) -> str:
        """The word that closes the block which `line` opens; empty when it opens none, or none with a word."""
        for pattern, closer in self.word_blocks:
            if re.fullmatch(pattern, line.strip()):
                return closer
        return ""

    def opens_block(self, line: str) -> bool:
        """Whether the words of `line` open a block."""
        return any(re.fullmatch(pattern, line.strip()) for pattern, _ in self.word_blocks)


_HASH = ("# ", "")
_DASHES = ("-- ", "")
_RUBY_BLOCK = (
    r"(?!.*\bend$)((.*=\s*)?(def|class|module|if|unless|while|until|case|begin|for|else|elsif|when|rescue|ensure)\b.*"
    r"|.*\bdo(\s*\|[^|]*\|)?)"
)
_SHELL_BLOCKS = ((r".*\bthen|else", "fi"), (r".*\bdo", "done"), (r"case\b.*\bin", "esac"))
_LUA_BLOCK = r"(?!.*\bend$)(.*\b(then|do|else|repeat)|.*\bfunction\b[^()]*\([^()]*\))"

# By the language ids of the protocol. A further language is one line here and its wheel in pyproject.toml.
LANGUAGES = {
    "c": Language(package="tree_sitter_c", extensions=(".c", ".h")),
    "cpp": Language(package="tree_sitter_cpp", extensions=(".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx")),
    "csharp": Language(package="tree_sitter_c_sharp", extensions=(".cs",)),
    "css": Language(package="tree_sitter_css", extensions=(".css",), comment=("/* ", " */")),
    "go": Language(package="tree_sitter_go", extensions=(".go",)),
    "html": Language(
        package="tree_sitter_html",
        extensions=(".html", ".htm"),
        block_opener="",
        word_blocks=((r".*<[A-Za-z][\w-]*(\s[^<>]*[^<>/])?>", "</"),),
        comment=("<!-- ", " -->"),
    ),
    "java": Language(package="tree_sitter_java", extensions=(".java",)),
    "javascript": Language(package="tree_sitter_javascript", extensions=(".js", ".mjs", ".cjs")),
    "javascriptreact": Language(package="tree_sitter_javascript", extensions=(".jsx",)),
    "json": Language(package="tree_sitter_json", extensions=(".json",)),
    "kotlin": Language(package="tree_sitter_kotlin", extensions=(".kt", ".kts")),
    "lua": Language(
        package="tree_sitter_lua",
        extensions=(".lua",),
        block_opener="",
        word_blocks=((_LUA_BLOCK, "end"),),
        comment=_DASHES,
    ),
    "markdown": Language(
        package="tree_sitter_markdown", extensions=(".md", ".markdown"), block_opener="", comment=("<!-- ", " -->")
    ),
    "php": Language(package="tree_sitter_php", function="language_php", extensions=(".php",)),
    "python": Language(package="tree_sitter_python", extensions=(".py", ".pyi"), block_opener=":", comment=_HASH),
    "ruby": Language(
        package="tree_sitter_ruby",
        extensions=(".rb", ".rake", ".gemspec"),
        block_opener="",
        word_blocks=((_RUBY_BLOCK, "end"),),
        comment=_HASH,
    ),
    "rust": Language(package="tree_sitter_rust", extensions=(".rs",)),
    "scala": Language(package="tree_sitter_scala", extensions=(".scala", ".sc")),
    "shellscript": Language(
        package="tree_sitter_bash", extensions=(".sh", ".bash"), word_blocks=_SHELL_BLOCKS, comment=_HASH
    ),
    "sql": Language(package="tree_sitter_sql", extensions=(".sql",), block_opener="", comment=_DASHES),
    "swift": Language(package="tree_sitter_swift", extensions=(".swift",)),
    "toml": Language(package="tree_sitter_toml", extensions=(".toml",), block_opener="", comment=_HASH),
    "typescript": Language(
        package="tree_sitter_typescript", function="language_typescript", extensions=(".ts", ".mts", ".cts")
    ),
    "typescriptreact": Language(package="tree_sitter_typescript", function="language_tsx", extensions=(".tsx",)),
    "yaml": Language(
        package="tree_sitter_yaml",
        extensions=(".yaml", ".yml"),
        block_opener="",
        word_blocks=((r"[^#]*:", ""),),
        comment=_HASH,
    ),
}
_ALIASES = {"sh": "shellscript", "bash": "shellscript", "jsonc": "json", "cs": "csharp", "c++": "cpp"}
"""Language ids that some editors send instead (Neovim: its file types)."""


def language_for(name: str) -> Language | None:
    """What is known of a language id, if anything."""
    return LANGUAGES.get(_ALIASES.get(name, name))


@cache
def parser_for(language: str) -> Parser | None:
    """The parser of a language id, or None where there is no grammar."""
    entry = language_for(language)
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
