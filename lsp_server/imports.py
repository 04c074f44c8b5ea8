"""What a file imports from its own workspace: which file that is, and the beginning of the definition there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HEAD_CHARACTERS = 8_000
"""Imports stand at the beginning."""
_NAME = re.compile(r"[A-Za-z_$]\w*")
_PYTHON = re.compile(r"^[ \t]*from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n(]*)", re.MULTILINE)
_SCRIPT = re.compile(
    r"""^[ \t]*import\s+(?:type\s+)?([\w$\s,{}*]+?)\s+from\s+["'](\.{1,2}/[^"'\n]+)["']""", re.MULTILINE
)
_SCRIPT_LANGUAGES = {"javascript", "javascriptreact", "typescript", "typescriptreact"}
_SCRIPT_ENDINGS = (".ts", ".tsx", ".d.ts", ".js", ".jsx", ".mjs", ".cjs")
_SCRIPT_MEMBER = re.compile(r"\s+(?!(?:if|for|while|switch|return)\b)[\w<>\[\], ]*[\w$]+\s*[(:]")
_PYTHON_HEADER = re.compile(r"[ \t]*(?:async[ \t]+)?(?:def|class)\b")
MAX_LINES = 60
"""Lines of a class that are looked through for its members."""
MAX_MEMBERS = 8
BODY_LINES = 3
"""Lines that are shown of what a function does."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """Names, and the module that they come from, as the file writes it."""

    module: str
    names: tuple[str, ...]


def imports(head: str, language: str) -> Iterator[Import]:
    """The imports in the beginning of a file; none in a language whose modules are not files of a known name."""
    if language == "python":
        for match in _PYTHON.finditer(head):
            yield Import(module=match.group(1), names=tuple(_NAME.findall(match.group(2))))
    elif language in _SCRIPT_LANGUAGES:
        for match in _SCRIPT.finditer(head):
            yield Import(module=match.group(2), names=tuple(_NAME.findall(match.group(1))))


def candidates(module: str, importer: Path, roots: list[Path], language: str) -> Iterator[Path]:
    """The files that a module may be, best first. None was looked at.

    Args:
        roots: folders that absolute Python modules are searched in.
    """
    if language in _SCRIPT_LANGUAGES:
        path = (importer.parent / module).resolve()
        named = path.with_suffix("") if path.suffix in (".js", ".jsx", ".mjs") else path
        yield path
        yield from (named.with_name(named.name + ending) for ending in _SCRIPT_ENDINGS)
        yield from (path / f"index{ending}" for ending in _SCRIPT_ENDINGS)
        return
    dots = len(module) - len(module.lstrip("."))
    parts = [part for part in module.split(".") if part]
    bases = roots
    if dots:
        bases = [importer.parents[dots - 1]] if dots <= len(importer.parents) else []
    for base in bases if parts else []:
        yield base.joinpath(*parts).with_suffix(".py")
        yield base.joinpath(*parts, "__init__.py")


def definition(text: str, name: str, language: str) -> str:
    """The first lines of the definition of `name`: signature, and the start of its body or its members; or nothing."""
    return _python_definition(text, name) if language == "python" else _script_definition(text, name)


def _python_definition(text: str, name: str) -> str:
    found = re.finditer(rf"\b(?:def|class)[ \t]+{re.escape(name)}\b", text)
    starts = (text.rfind("\n", 0, match.start()) + 1 for match in found)
    start = next((start for start in starts if _PYTHON_HEADER.match(text, start)), None)
    if start is None:
        match = re.search(rf"^{re.escape(name)}\b[^=\n]*=.*$", text, re.MULTILINE)
        return match.group() if match else ""
    lines = text[start:].split("\n", MAX_LINES)[:MAX_LINES]
    members = [line for line in lines[1:] if re.match(r"\s+(async\s+)?def\s", line)]
    is_class = lines[0].lstrip().startswith("class")
    return "\n".join([lines[0], *(members[:MAX_MEMBERS] if is_class else lines[1 : BODY_LINES + 1])])


def _script_definition(text: str, name: str) -> str:
    match = re.search(
        rf"^(?:export\s+)?(?:default\s+)?(?:declare\s+)?(?:abstract\s+)?(?:async\s+)?"
        rf"(function\*?|class|interface|type|enum|const|let|var)\s+{re.escape(name)}\b",
        text,
        re.MULTILINE,
    )
    if match is None:
        return ""
    lines = text[match.start() :].split("\n", MAX_LINES)[:MAX_LINES]
    end = next((index for index, line in enumerate(lines[1:], start=1) if line.startswith(("}", ")"))), len(lines))
    lines = lines[:end]
    members = [line for line in lines[1:] if _SCRIPT_MEMBER.match(line)]
    has_members = match.group(1) in ("class", "interface", "type", "enum")
    return "\n".join([lines[0], *(members[:MAX_MEMBERS] if has_members else lines[1 : BODY_LINES + 1])])
