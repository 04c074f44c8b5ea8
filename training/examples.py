"""Source files to fill-in-the-middle examples: where to cut, and the token ids of each part.

Spans are cut at characters and each part is tokenised alone, so that cursors inside a token are seen in training.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from diffill.model.fim import fim_prompt
from diffill.model.tokenizer import END_OF_MIDDLE, END_OF_TEXT, MIDDLE, PREFIX, Tokenizer

from .spans import HoleConfig, hole, line_start, syntax_nodes

if TYPE_CHECKING:
    from .corpus import Document


class ExampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares and budgets of the examples."""

    holes: HoleConfig = HoleConfig()
    left_to_right: float = 0.10
    """Share of examples without a hole: plain text, for the causal head."""
    prefix_first: float = 0.25
    """Share of holes written `PREFIX prefix SUFFIX suffix MIDDLE` instead of the order that is decoded: both orders
    together teach holes best (arXiv 2207.14255)."""
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
    source: Document, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random
) -> Iterator[Example]:
    """Fresh random examples from one file; call again for another epoch."""
    if not source.text.strip():
        return  # a file of nothing but its licence is empty by now
    count = max(1, round(len(source.text) / config.characters_per_example))
    nodes = syntax_nodes(source.text, source.language) if config.holes.syntax_node else []
    for _ in range(count):
        if generator.random() < config.left_to_right:
            example = _left_to_right(source.text, tokenizer, config, generator)
        else:
            example = _infill(source.text, nodes, tokenizer, config, generator)
        if example is not None:
            yield example


def _left_to_right(text: str, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random) -> Example | None:
    budget = config.max_prefix + config.max_suffix
    start = line_start(text, generator.randrange(len(text)))
    ids = tokenizer.encode(text[start : start + 6 * budget])[:budget]
    return Example(tokens=[END_OF_TEXT, *ids], middle=[False] * (1 + len(ids))) if len(ids) > 32 else None


def _infill(
    text: str, nodes: list[tuple[int, int]], tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random
) -> Example | None:
    start, end = hole(text, nodes, config.holes, generator)
    return infill_example(text, start, end, tokenizer, config, generator)


def infill_example(
    text: str, start: int, end: int, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random
) -> Example | None:
    """The example of a hole `[start, end)`, in characters; None when it is blank or over the budget."""
    if text[start - 1 : start] == " " and text[start : start + 1] != " ":
        start -= 1  # a cursor behind a space is asked for the space too: see `model.fim.cut_before_cursor`
    middle = tokenizer.encode(text[start:end])
    if not middle or len(middle) > config.max_middle or not text[start:end].strip():
        return None
    prefix_budget = generator.randint(config.max_prefix // 3, config.max_prefix)
    # A generous cut in characters first: tokenising a whole file for every hole would cost more than training on it.
    prefix = tokenizer.encode(text[line_start(text, max(0, start - 5 * prefix_budget)) : start])
    suffix_budget = 0 if generator.random() < config.no_suffix else generator.randint(8, config.max_suffix)
    suffix = tokenizer.encode(text[end : end + 6 * suffix_budget])
    prompt = fim_prompt(prefix, suffix, max_prefix=prefix_budget, max_suffix=suffix_budget)
    if generator.random() < config.prefix_first:
        middle_of_prompt = prompt.index(PREFIX)
        prompt = [*prompt[middle_of_prompt:-1], *prompt[:middle_of_prompt], MIDDLE]
    return Example(
        tokens=[*prompt, *middle, END_OF_MIDDLE],
        middle=[False] * len(prompt) + [True] * (len(middle) + 1),
    )
