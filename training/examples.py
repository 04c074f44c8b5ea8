"""Source files to fill-in-the-middle examples: where to cut, and the token ids of each part.

Spans are cut at characters and each part is tokenised alone, so that cursors inside a token are seen in training.
"""

from __future__ import annotations

import ast
import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from diffill.model.fim import fim_prompt
from diffill.model.tokenizer import END_OF_MIDDLE, END_OF_TEXT, Tokenizer

from .sources import SourceFile


class ExampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares and budgets of the examples."""

    whole_line: float = 0.35
    """Share of spans that are one line with its indentation and its newline."""
    rest_of_line: float = 0.25
    """Share of spans from inside a line to its end, the newline left to the suffix."""
    several_lines: float = 0.15
    syntax_node: float = 0.15
    """Share of spans that are one statement, block, call argument or expression (Python; lines elsewhere)."""
    random_characters: float = 0.10
    left_to_right: float = 0.10
    """Share of examples without a hole: plain text, for the causal head."""
    no_suffix: float = 0.15
    """Share of holes at the end of the file: nothing follows while a person writes new code."""
    max_prefix: int = 224
    max_suffix: int = 80
    max_middle: int = 96
    """Budgets in tokens."""
    characters_per_example: int = 1200
    """A file of this many characters yields one example an epoch, a longer one proportionally more."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One training document.  # equal lengths"""

    tokens: list[int]
    middle: list[bool]
    """True on the middle and its END_OF_MIDDLE."""


def examples_of(
    source: SourceFile, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random
) -> Iterator[Example]:
    """Fresh random examples from one file; call again for another epoch."""
    if not source.text.strip():
        return  # a file of nothing but its licence is empty by now
    count = max(1, round(len(source.text) / config.characters_per_example))
    nodes = _node_spans(source) if config.syntax_node else []
    for _ in range(count):
        if generator.random() < config.left_to_right:
            example = _left_to_right(source.text, tokenizer, config, generator)
        else:
            example = _infill(source.text, nodes, tokenizer, config, generator)
        if example is not None:
            yield example


def _left_to_right(text: str, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random) -> Example | None:
    budget = config.max_prefix + config.max_suffix
    start = _line_start(text, generator.randrange(len(text)))
    ids = tokenizer.encode(text[start : start + 6 * budget])[:budget]
    return Example(tokens=[END_OF_TEXT, *ids], middle=[False] * (1 + len(ids))) if len(ids) > 32 else None


def _infill(
    text: str, nodes: list[tuple[int, int]], tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random
) -> Example | None:
    start, end = _span(text, nodes, config, generator)
    if text[start - 1 : start] == " " and text[start : start + 1] != " ":
        start -= 1  # a cursor behind a space is asked for the space too: see `model.fim.cut_before_cursor`
    middle = tokenizer.encode(text[start:end])
    if not middle or len(middle) > config.max_middle or not text[start:end].strip():
        return None
    prefix_budget = generator.randint(config.max_prefix // 3, config.max_prefix)
    # A generous cut in characters first: tokenising a whole file for every hole would cost more than training on it.
    prefix = tokenizer.encode(text[_line_start(text, max(0, start - 5 * prefix_budget)) : start])
    suffix_budget = 0 if generator.random() < config.no_suffix else generator.randint(8, config.max_suffix)
    suffix = tokenizer.encode(text[end : end + 6 * suffix_budget])
    prompt = fim_prompt(prefix, suffix, max_prefix=prefix_budget, max_suffix=suffix_budget)
    return Example(
        tokens=[*prompt, *middle, END_OF_MIDDLE],
        middle=[False] * len(prompt) + [True] * (len(middle) + 1),
    )


def _span(text: str, nodes: list[tuple[int, int]], config: ExampleConfig, generator: random.Random) -> tuple[int, int]:
    """Start and end of one hole, in characters."""
    at = generator.randrange(len(text))
    start = _line_start(text, at)
    end = _line_end(text, at)
    draw = generator.random()
    if (draw := draw - config.whole_line) < 0:
        return start, min(end + 1, len(text))
    if (draw := draw - config.rest_of_line) < 0:
        indentation = len(text[start:end]) - len(text[start:end].lstrip())
        return generator.randint(min(start + indentation, end), end), end
    if (draw := draw - config.several_lines) < 0:
        for _ in range(generator.randint(1, 5)):
            end = _line_end(text, min(end + 1, len(text)))
        return generator.randint(start, at), end
    if draw - config.syntax_node < 0 and nodes:
        return generator.choice(nodes)
    length = min(1 + int(generator.expovariate(1 / 60)), 600)
    return at, min(at + length, len(text))


def _node_spans(source: SourceFile) -> list[tuple[int, int]]:
    """Statements, arguments and expressions of a Python file as character spans; other languages have none yet."""
    if source.language != "python":
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source.text)
        except (SyntaxError, ValueError, RecursionError):
            return []
    if not source.text.isascii():
        return []  # ast counts columns in UTF-8 bytes; these files still have the other kinds of spans
    starts = [0]
    for line in source.text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    spans = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr)) and node.end_lineno is not None and node.end_col_offset is not None:
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            if 4 <= end - start <= 400:
                spans.append((start, end))
    return spans


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end
