"""The estimate follows what the model is sure of, and is a probability whatever comes."""

from __future__ import annotations

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.calibration import fit, judged
from benchmarks.completion_quality import Outcome
from diffill.lsp_server.completion import Completion
from diffill.lsp_server.confidence import chance
from diffill.model.request import DecodeResult

RESULT = DecodeResult(
    tokens=b"", finish="eom", score=0.0, steps=0, forward_passes=0, cached_tokens=0, prefill_ms=0.0, denoise_ms=0.0
)


def completion(score: float, tokens: int) -> Completion:
    return Completion(text="x", start=0, end=0, score=score, tokens=tokens, result=RESULT)


@given(st.floats(-1e6, 0), st.integers(0, 1024))
def test_it_is_a_probability(score: float, tokens: int) -> None:
    assert 0 <= chance(completion(score, tokens)) <= 1


def test_the_longer_and_the_less_sure_the_less_likely() -> None:
    assert chance(completion(-0.1, 3)) > chance(completion(-0.1, 30)) > chance(completion(-1.0, 30))
    assert chance(completion(0.0, 1)) > 0.8


def test_a_fit_finds_the_estimate_that_made_the_outcomes() -> None:
    chance_of = random.Random(0)
    totals = [chance_of.uniform(-6, 0) for _ in range(4_000)]
    right = [chance_of.random() < 1 / (1 + exp(-(2.0 + 1.2 * total))) for total in totals]
    assert fit(totals, right) == pytest.approx((2.0, 1.2), abs=0.25)
    with pytest.raises(ValueError, match="outcomes"):
        fit(totals, [True] * len(totals))


def test_no_case_is_judged_by_an_estimate_that_saw_its_file() -> None:
    """In one file everything is the other way round: who had seen it would know."""
    outcomes = [
        outcome(f"file{number % 40}.py", score=-1.0 if number % 3 else -0.1, right=number % 3 == 0)
        for number in range(240)
    ]
    outcomes += [outcome("odd one.py", score=score, right=score < -0.5) for score in (-1.0, -0.1) for _ in range(40)]
    odd = [item for item in judged(outcomes) if item.path == "odd one.py"]
    assert len(odd) == 80
    assert all(item.chance < 0.1 for item in odd if item.right)
    assert all(item.chance > 0.9 for item in odd if not item.right)


def outcome(path: str, *, score: float, right: bool) -> Outcome:
    return Outcome(
        path=path, offset=0, kind="line", shown=True, right=right, no_worse=True, repeats=False,
        score=score, tokens=3, chance=0.5, ms=1.0,
    )  # fmt: skip
