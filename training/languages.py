"""Which files are source, and in which language."""

from __future__ import annotations

EXTENSIONS = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".mts": "typescript",
    ".tsx": "tsx",
    ".java": "java",
    ".go": "go",
    ".rs": "rust",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".hh": "cpp",
    ".cs": "csharp",
    ".sh": "shell",
    ".bash": "shell",
    ".bats": "shell",
}
# The order is that of the language numbers in token shards: new ones go to the end.
LANGUAGE_NAMES = ("python", "javascript", "typescript", "tsx", "java", "go", "rust", "c", "cpp", "csharp", "shell")


def language_of(suffix: str, text: str) -> str:
    """The language of a file with a known extension; a `.h` may be C or C++."""
    language = EXTENSIONS[suffix]
    if suffix == ".h" and any(mark in text for mark in ("\nnamespace ", "\nclass ", "\ntemplate", "std::", "public:")):
        return "cpp"
    return language
