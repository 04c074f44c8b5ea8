"""What real tools say about faults: ruff, pyflakes and the compiler for Python, the parser for other languages.

A tool's news is what it says about the faulty file and does not say about the correct one.

Edit pairs and the evaluation of repairs ask here, under fixed rules. The language server asks ruff by itself
(`lsp_server/repair/linter.py`): there the project's settings count, and neither side may import the other.
"""

from __future__ import annotations

import ast
import collections
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tree_sitter import Node

from .syntax import GRAMMARS, parse, walk

RUFF_RULES = "E7,E9,F,B006"
"""Certain mistakes, and the few matters of style that have one answer."""
SYNTAX_ERROR = "invalid-syntax"
BRACKETS = {"(": ")", "[": "]", "{": "}"}
HANG_GUARD_SECONDS = 300


class Diagnostic(msgspec.Struct, frozen=True):
    """What an editor would show."""

    line: int
    """From 1."""
    text: str
    """`CODE message`, as one line."""


class _Location(msgspec.Struct):
    row: int


class _RuffDiagnostic(msgspec.Struct):
    filename: str
    message: str
    location: _Location
    code: str | None = None


def news(before: Sequence[Diagnostic], after: Sequence[Diagnostic], line: int) -> str:
    """The diagnostic of the faulty file (`after`) that the correct one has not, nearest to `line`; or nothing."""
    known = collections.Counter(diagnostic.text for diagnostic in before)
    fresh: list[Diagnostic] = []
    for diagnostic in after:
        if known[diagnostic.text]:
            known[diagnostic.text] -= 1
        else:
            fresh.append(diagnostic)
    return min(fresh, key=lambda found: (abs(found.line - line), found.text)).text if fresh else ""


def diagnose(texts: Sequence[str], language: str) -> list[list[Diagnostic]] | None:
    """What the tool of a language says of each text; None for a language without one.

    Raises:
        ValueError: ruff does not answer.
    """
    if language == "python":
        return ruff(texts)
    return [parser(text, language) for text in texts] if language in GRAMMARS else None


def ruff(texts: Sequence[str]) -> list[list[Diagnostic]]:
    """One run of ruff over many Python files.

    Raises:
        ValueError: ruff does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="diffill-ruff-") as directory:
        for number, text in enumerate(texts):
            Path(directory, f"f{number}.py").write_text(text, "utf-8", errors="replace", newline="")
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--exit-zero", "--select"]
        process = subprocess.run(
            [*command, RUFF_RULES, "--output-format", "json", directory],
            capture_output=True,
            timeout=HANG_GUARD_SECONDS,
            check=False,
        )
        try:
            answer = msgspec.json.decode(process.stdout, type=list[_RuffDiagnostic])
        except msgspec.MsgspecError:
            reason = process.stderr.decode("utf-8", "replace").strip().splitlines()
            raise ValueError(
                f"diagnostics: ruff does not answer: {reason[-1] if reason else process.returncode}"
            ) from None
    found: list[list[Diagnostic]] = [[] for _ in texts]
    for item in answer:
        code = item.code or SYNTAX_ERROR
        message = " ".join(item.message.split())
        found[int(Path(item.filename).stem[1:])].append(Diagnostic(item.location.row, f"{code} {message}"))
    return found


def pyflakes(text: str) -> list[Diagnostic]:
    """As a Python language server without ruff says it; nothing for text that does not compile."""
    from pyflakes.checker import Checker  # of the extra `train`; repairs are evaluated without it

    tree = compiled(text)
    if not isinstance(tree, ast.Module):
        return []
    messages = sorted(Checker(tree).messages, key=lambda item: (item.lineno, item.col))
    return [Diagnostic(item.lineno, " ".join((item.message % item.message_args).split())) for item in messages]


def compiled(text: str) -> ast.Module | Diagnostic | None:
    """The tree, or what the compiler says instead; None where it says nothing of use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        return Diagnostic(error.lineno or 1, f"{type(error).__name__}: {error.msg}")
    except (ValueError, RecursionError, MemoryError):
        return None


def parser(text: str, language: str) -> list[Diagnostic]:
    """What tree-sitter could not make sense of."""
    source = text.encode(errors="replace")
    tree = parse(source, language)
    if tree is None or not tree.root_node.has_error:
        return []
    found = []
    for node in walk(tree.root_node):
        if node.is_missing:
            found.append(Diagnostic(node.start_point.row + 1, f"SyntaxError: '{node.type}' expected"))
        elif node.is_error:
            found.append(_unparsed(node, source))
    return found


def _unparsed(node: Node, source: bytes) -> Diagnostic:
    """The bracket of an error that has no other half, else the first word of the error."""
    open_brackets: list[Node] = []
    for child in node.children:
        if child.type in BRACKETS:
            open_brackets.append(child)
        elif open_brackets and child.type == BRACKETS[open_brackets[-1].type]:
            open_brackets.pop()
        elif child.type in BRACKETS.values():
            return Diagnostic(child.start_point.row + 1, f"SyntaxError: unexpected '{child.type}'")
    if open_brackets:
        bracket = open_brackets[-1]
        return Diagnostic(bracket.start_point.row + 1, f"SyntaxError: '{bracket.type}' is never closed")
    words = source[node.start_byte : node.end_byte].decode(errors="replace").split()
    return Diagnostic(node.start_point.row + 1, f"SyntaxError: unexpected '{words[0][:20] if words else ''}'")
