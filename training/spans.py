"""Where a file is cut: lines, rests of lines, several lines, pieces of syntax, any characters (arXiv 2207.14255)."""

from __future__ import annotations

import ast
import random
import re
import warnings
from collections.abc import Iterator

import msgspec

SHORTEST_NODE, LONGEST_NODE = 4, 400
"""Characters."""
BRACKETS = re.compile(
    r'"(?:\\.|[^"\\\n])*"' r"|'(?:\\.|[^'\\\n])*'" r"|`(?:\\.|[^`\\])*`" r"|//[^\n]*|/\*.*?\*/" r"|[()\[\]{}]",
    re.DOTALL,
)
CLOSING = {")": "(", "]": "[", "}": "{"}


class HoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares of the kinds of holes; what they leave of 1 is random characters."""

    whole_line: float = 0.22
    """One line with its indentation and its newline."""
    rest_of_line: float = 0.18
    """From inside a line to its end, the newline left to the suffix."""
    several_lines: float = 0.25
    """Two to six: half of them whole lines, half from inside a line to the end of another."""
    syntax_node: float = 0.20
    """One statement, block, call argument or expression; what stands between two brackets in other languages."""

    def __post_init__(self) -> None:
        shares = [self.whole_line, self.rest_of_line, self.several_lines, self.syntax_node]
        if min(shares) < 0.0 or sum(shares) > 1.0 + 1e-9:
            raise ValueError("holes: the shares are negative or add up to more than 1")


def hole(text: str, nodes: list[tuple[int, int]], config: HoleConfig, generator: random.Random) -> tuple[int, int]:
    """Start and end of one hole, in characters.

    Args:
        nodes: pieces of the file's syntax (`syntax_nodes`); without any, random characters take their share.
    """
    at = generator.randrange(len(text))
    start = line_start(text, at)
    end = line_end(text, at)
    draw = generator.random()
    if (draw := draw - config.whole_line) < 0:
        return start, min(end + 1, len(text))
    if (draw := draw - config.rest_of_line) < 0:
        indentation = len(text[start:end]) - len(text[start:end].lstrip())
        return generator.randint(min(start + indentation, end), end), end
    if (draw := draw - config.several_lines) < 0:
        for _ in range(generator.randint(1, 5)):
            end = line_end(text, min(end + 1, len(text)))
        if generator.random() < 0.5:
            return start, min(end + 1, len(text))
        return generator.randint(start, at), end
    if draw - config.syntax_node < 0 and nodes:
        return generator.choice(nodes)
    length = min(1 + int(generator.expovariate(1 / 60)), 600)
    return at, min(at + length, len(text))


def syntax_nodes(text: str, language: str) -> list[tuple[int, int]]:
    """Pieces of syntax of a size that a person leaves out, as character spans."""
    found = _python_nodes(text) if language == "python" else _between_brackets(text)
    return [(start, end) for start, end in found if SHORTEST_NODE <= end - start <= LONGEST_NODE]


def line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _python_nodes(text: str) -> Iterator[tuple[int, int]]:
    """Statements and expressions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def place(line: int, column: int) -> int:
        # ast counts columns in UTF-8 bytes.
        written = lines[line - 1]
        return starts[line - 1] + (column if written.isascii() else len(written.encode()[:column].decode()))

    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr)) and node.end_lineno is not None and node.end_col_offset is not None:
            yield place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)


def _between_brackets(text: str) -> Iterator[tuple[int, int]]:
    """Blocks, arguments and subscripts of a language with brackets; strings and comments are passed over."""
    opened: list[tuple[str, int]] = []
    for match in BRACKETS.finditer(text):
        mark = match.group()
        if mark in "([{":
            opened.append((mark, match.end()))
        elif mark in CLOSING and opened:
            bracket, start = opened.pop()
            if bracket != CLOSING[mark]:
                opened.clear()  # lost: a language whose strings look otherwise
                continue
            yield start, match.start()
