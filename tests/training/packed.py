"""Packed rows of random examples, as `diffill train pack` makes them."""

from __future__ import annotations

import random

from diffill.model.edit_prompt import edit_prompt
from diffill.model.fim import fim_prompt
from diffill.model.tokenizer import END_OF_MIDDLE, END_OF_TEXT, NUM_CONTROL_IDS
from diffill.training.examples import Example
from diffill.training.packing import Rows, pack
from tests.tiny import VOCABULARY_SIZE


def random_example(generator: random.Random, longest: int) -> Example:
    """A hole, or one time in four plain text."""

    def text(least: int, most: int) -> list[int]:
        return [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(generator.randint(least, most))]

    if generator.random() < 0.25:
        ids = text(1, longest)
        return Example(tokens=[END_OF_TEXT, *ids], middle=[False] * (1 + len(ids)))
    prompt, middle = fim_prompt(text(0, longest), text(0, longest // 2)), text(1, longest)
    return Example(tokens=[*prompt, *middle, END_OF_MIDDLE], middle=[False] * len(prompt) + [True] * (len(middle) + 1))


def random_rows(seed: int, *, length: int, examples: int, longest: int = 20) -> Rows:
    generator = random.Random(seed)
    return pack([random_example(generator, longest) for _ in range(examples)], length)


def random_edit(generator: random.Random, longest: int) -> Example:
    """A text with one token replaced, one left out or one put in."""

    def text(least: int, most: int) -> list[int]:
        return [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(generator.randint(least, most))]

    updated = text(4, longest)
    original, at = list(updated), generator.randrange(len(updated))
    original[at : at + generator.randint(0, 1)] = text(0, 1)
    prompt = edit_prompt(text(0, longest), original, text(0, longest), text(0, 4))
    return Example(
        tokens=[*prompt, *updated, END_OF_MIDDLE], middle=[False] * len(prompt) + [True] * (len(updated) + 1)
    )
