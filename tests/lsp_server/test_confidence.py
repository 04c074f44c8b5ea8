"""The estimate follows what the model is sure of, and is a probability whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

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
