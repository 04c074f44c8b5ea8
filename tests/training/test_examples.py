"""Examples: the parts of a hole put together are the text they came from."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.tokenizer import END_OF_MIDDLE, END_OF_TEXT, MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX, Tokenizer
from diffill.training.corpus import Document
from diffill.training.examples import Example, ExampleConfig, examples_of
from diffill.training.spans import HoleConfig
from tests.tiny import tiny_tokenizer

SHIPPED, BYTES = Tokenizer.load(DEFAULT_CHECKPOINT), tiny_tokenizer()
PYTHON = (
    '''"""A queue of jobs."""

import heapq
from dataclasses import dataclass, field


@dataclass(order=True)
class Job:
    priority: int
    name: str = field(compare=False)


class Queue:
    def __init__(self, jobs=()):
        self._heap = list(jobs)
        heapq.heapify(self._heap)

    def push(self, job):
        if not isinstance(job, Job):
            raise TypeError(f"job: {job!r} is not a Job")
        heapq.heappush(self._heap, job)

    def pop(self):
        return heapq.heappop(self._heap) if self._heap else None
'''
    * 3
)
KINDS = ("whole_line", "rest_of_line", "several_lines", "syntax_node", "random_characters")


def source(text: str, language: str = "python") -> Document:
    return Document(text=text, language=language, path="a.py", package="a 1", licence="MIT")


def only(kind: str, **rest: float) -> ExampleConfig:
    """Holes of one kind."""
    holes = HoleConfig(**{name: 1.0 if name == kind else 0.0 for name in KINDS[:-1]})
    values: dict[str, Any] = {"left_to_right": 0.0, "prefix_first": 0.0, "characters_per_example": 20}
    return ExampleConfig(holes=holes, **(values | rest))


def parts(example: Example) -> tuple[list[int], list[int], list[int]]:
    """Prefix, middle and suffix of a hole, control ids aside."""
    tokens = example.tokens
    assert tokens[0] == SUFFIX
    assert tokens[-1] == END_OF_MIDDLE
    before, after = tokens.index(PREFIX), tokens.index(MIDDLE)
    return tokens[before + 1 : after], tokens[after + 1 : -1], tokens[1:before]


def check(example: Example, text: str, tokenizer: Tokenizer) -> str:
    """The hole's text, after all that must hold of every hole."""
    prefix, middle, suffix = parts(example)
    flagged = [token for token, inside in zip(example.tokens, example.middle, strict=True) if inside]
    assert flagged == [*middle, END_OF_MIDDLE]
    assert all(token >= NUM_CONTROL_IDS for token in (*prefix, *middle, *suffix))
    whole = tokenizer.decode(prefix) + tokenizer.decode(middle) + tokenizer.decode(suffix)
    assert whole.strip("\ufffd") in text  # a budget may cut a character
    return tokenizer.decode(middle)


@pytest.mark.parametrize("language", ["python", "typescript"])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_the_text_in_suffix_prefix_middle_order(kind: str, language: str) -> None:
    examples = examples_of(source(PYTHON, language), SHIPPED, only(kind), random.Random(0))
    holes = [check(one, PYTHON, SHIPPED) for one in examples]
    assert len(holes) > 20
    if kind == "whole_line":
        assert all(hole.endswith("\n") and hole.count("\n") == 1 for hole in holes)
        assert any(hole.startswith("        ") for hole in holes)
    elif kind == "rest_of_line":
        assert not any("\n" in hole for hole in holes)
    elif kind == "several_lines":
        assert any(hole.count("\n") > 1 for hole in holes)
    elif kind == "syntax_node" and language == "python":
        assert "heapq.heapify(self._heap)" in {hole.strip() for hole in holes}
        assert any(hole.lstrip().startswith("def ") or hole.lstrip().startswith("if ") for hole in holes)


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from("ab é漢🎉=(\n\t 1")).map(lambda text: text * 4),
    seed=st.integers(0, 10),
    kind=st.sampled_from(KINDS),
    language=st.sampled_from(["python", "javascript"]),
)
def test_any_text(text: str, seed: int, kind: str, language: str) -> None:
    config = only(kind, max_prefix=20, max_suffix=12)
    for one in examples_of(source(text, language), BYTES, config, random.Random(seed)):
        prefix, middle, suffix = parts(one)
        assert check(one, text, BYTES).strip()
        assert len(prefix) <= 20
        assert len(suffix) <= 12
        assert 0 < len(middle) <= config.max_middle


def test_a_space_before_the_hole_is_in_the_hole() -> None:
    """As in serving, where the prompt never ends in a single space before a word."""
    for one in examples_of(source(PYTHON), SHIPPED, only("random_characters"), random.Random(1)):
        prefix, middle, _ = parts(one)
        assert not (SHIPPED.decode(prefix).endswith(" ") and not SHIPPED.decode(middle).startswith(" "))


@pytest.mark.parametrize("text", ["", "\n", "   \n\n"])
def test_text_without_anything_to_learn(text: str) -> None:
    """A file may be nothing but a licence, and that is stripped."""
    for seed in range(20):
        assert list(examples_of(source(text), SHIPPED, ExampleConfig(), random.Random(seed))) == []


def test_left_to_right_is_plain_text_from_a_line_start() -> None:
    config = ExampleConfig(left_to_right=1.0, characters_per_example=100, max_prefix=40, max_suffix=20)
    found = list(examples_of(source(PYTHON), SHIPPED, config, random.Random(0)))
    assert found
    for one in found:
        assert one.tokens[0] == END_OF_TEXT
        assert not any(one.middle)
        assert 32 < len(one.tokens) - 1 <= 60
        text = SHIPPED.decode(one.tokens)
        at = PYTHON.index(text)
        assert at == 0 or "\n" + text in PYTHON


def test_shares_are_as_configured() -> None:
    config = ExampleConfig(characters_per_example=4, no_suffix=0.5, left_to_right=0.25, prefix_first=0.4)
    found = list(examples_of(source(PYTHON), SHIPPED, config, random.Random(0)))
    plain = [one for one in found if one.tokens[0] == END_OF_TEXT]
    holes = [one for one in found if one.tokens[0] == SUFFIX]
    prefix_first = [one for one in found if one.tokens[0] == PREFIX]
    empty = [one for one in holes if one.tokens[1] == PREFIX]
    assert 0.15 < len(plain) / len(found) < 0.35
    assert 0.4 < len(empty) / len(holes) < 0.6
    assert 0.3 < len(prefix_first) / (len(holes) + len(prefix_first)) < 0.5


def test_prefix_first_is_the_same_text_in_another_order() -> None:
    for one in examples_of(source(PYTHON), SHIPPED, only("whole_line", prefix_first=1.0), random.Random(0)):
        after, middle = one.tokens.index(SUFFIX), one.tokens.index(MIDDLE)
        suffix_first = Example(
            tokens=[*one.tokens[after:middle], *one.tokens[:after], *one.tokens[middle:]], middle=one.middle
        )
        check(suffix_first, PYTHON, SHIPPED)


def test_same_generator_same_examples() -> None:
    made = [list(examples_of(source(PYTHON), SHIPPED, ExampleConfig(), random.Random(seed))) for seed in (3, 3, 4)]
    assert made[0] == made[1] != made[2]
