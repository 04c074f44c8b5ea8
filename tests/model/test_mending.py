"""Syntax-guided decoding: errors are mended within the budget, and an answer without one costs nothing."""

from __future__ import annotations

from math import exp, log
from unittest import mock

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.code.guide import Fault, Guide
from diffill.model.code.span import Span
from diffill.model.decoding import Answer
from diffill.model.decoding.diffusion import MOST_TIMES_MASKED_AGAIN, DraftBlock
from diffill.model.decoding.mending import MOST_ATTEMPTS, Mending
from diffill.model.engine import BlockDecoder
from diffill.model.network import Prediction
from diffill.model.request import DecodeRequest, DecodeResult, Mode, pack_ids, unpack_ids
from diffill.model.tokenizer import END_OF_MIDDLE, MASK
from tests.guided_decoder import PROMPT, TOKENIZER, Picky, decoder_that_writes, guided_request, ids
from tests.tiny import VOCABULARY_SIZE
from tests.tiny_decoder import MODES


def decode(decoder: BlockDecoder, mode: Mode, *, guided: bool = True, max_tokens: int = 40) -> DecodeResult:
    return decoder.decode(guided_request(mode, guided=guided, max_tokens=max_tokens))


def said(result: DecodeResult) -> str:
    return TOKENIZER.decode(unpack_ids(result.tokens))


@pytest.mark.parametrize(
    ("written", "second_best", "mended"),
    [
        ("foo(a]", {"]": ")"}, "foo(a)"),
        ("fo b", {" ": "="}, "fo=b"),
        ("[1, 2, a b, 3, 4]", {" ": ","}, "[1, 2, a,b, 3, 4]"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_an_error_is_mended(mode: Mode, written: str, second_best: dict[str, str], mended: str) -> None:
    plain = decode(decoder_that_writes(written, second_best), mode, guided=False)
    assert (said(plain), plain.finish) == (written, "eom")
    result = decode(decoder_that_writes(written, second_best), mode)
    assert (said(result), result.finish) == (mended, "eom")
    assert plain.forward_passes < result.forward_passes <= 40
    assert result.score < plain.score, "what is second best is worth less"


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_without_an_error_costs_no_pass(mode: Mode) -> None:
    same = [decode(decoder_that_writes("foo(a, [b])"), mode, guided=guided) for guided in (False, True)]
    without_times = [msgspec.structs.replace(result, prefill_ms=0.0, denoise_ms=0.0) for result in same]
    assert without_times[0] == without_times[1]


@pytest.mark.parametrize("max_tokens", [7, 9, 40])
@pytest.mark.parametrize("mode", MODES)
def test_what_cannot_be_mended_is_answered_as_it_was(mode: Mode, max_tokens: int) -> None:
    """Within as many passes as `ar` may take, and the first attempt is the one that counts."""
    result = decode(decoder_that_writes("a ) ) )", {")": "]", "]": "}"}), mode, max_tokens=max_tokens)
    assert said(result) == "a ) ) )"[: len(said(result))]
    assert result.finish == "error" if max_tokens > 7 else "length"
    assert result.forward_passes <= max_tokens


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 255), st.text("ab()", min_size=1, max_size=14), st.integers(1, 30))
def test_whatever_is_at_fault(seed: int, written: str, max_tokens: int) -> None:
    """The search ends within the budget, `verify` still equals `ar`, and an error is what the guide says is one."""
    picky = Picky(seed)
    results = {}
    for mode in MODES:
        with mock.patch("diffill.model.engine.Guide", lambda *_, **__: picky):
            results[mode] = decode(decoder_that_writes(written), mode, max_tokens=max_tokens)
        tokens, finish = unpack_ids(results[mode].tokens), results[mode].finish
        assert results[mode].forward_passes <= max_tokens + MOST_ATTEMPTS
        assert len(tokens) <= max_tokens
        assert (finish == "error") == any(picky.fault(tokens, finished) for finished in (False, True)) or (
            finish == "length" and not picky.fault(tokens, False)
        )
    same = [(results[mode].tokens, results[mode].finish, results[mode].token_scores) for mode in ("ar", "verify")]
    assert same[0] == same[1]


def answer_with(probabilities: list[float], fault: Fault | None, max_tokens: int = 40) -> Answer:
    answer = Answer(max_tokens=max_tokens, ends_line=None)
    for index, probability in enumerate(probabilities):
        answer.place(40 + index, log(probability))
    answer.finish, answer.fault = ("error" if fault else "eom"), fault
    return answer


def test_the_decision_taken_back_is_that_which_left_most_to_others() -> None:
    answer = answer_with([0.9, 0.2, 0.7, 0.6, 0.5], Fault(2, 4))
    mending = Mending(answer, vocabulary_size=100, device=torch.device("cpu"))
    attempt = mending.next()
    assert attempt is not None and attempt.tokens == [40, 41, 42, 43]
    assert attempt.refused_next is not None and attempt.refused_next.nonzero().flatten().tolist() == [44]
    attempt.place(50, log(0.8))
    assert attempt.log_probability[-1] == pytest.approx(log(0.8 * 0.5)), "of all tokens, the refused one included"
    attempt.finish, attempt.fault = "error", Fault(4, 4)
    mending.learn(attempt)
    again = mending.next()
    assert again is not None and again.tokens == [40, 41, 42], "0.4 is left there, but 0.1 behind the four"
    assert mending.best is attempt, "it was sound for longer"


def test_no_attempt_beyond_the_budget() -> None:
    answer = answer_with([0.5] * 5, Fault(1, 4), max_tokens=8)
    mending = Mending(answer, vocabulary_size=100, device=torch.device("cpu"))
    attempt = mending.next()
    assert attempt is not None and attempt.max_tokens == 1 + 3, "three decisions are left of eight"
    while attempt.place(60, log(0.5)):
        pass
    mending.learn(attempt)
    assert mending.next() is None
    assert mending.best is answer, "one that was cut short by the budget does not count"


def block_of(tokens: list[int], probabilities: list[float]) -> DraftBlock:
    block = DraftBlock(len(tokens), 0.5, None)
    block.advance(Prediction(tokens, [log(probability) for probability in probabilities]))
    return block


def test_a_block_is_opened_around_its_error() -> None:
    block = block_of([40, 41, 42, 43, 44, 45], [0.9, 0.9, 0.8, 0.7, 0.9, 0.9])
    before = Answer(max_tokens=40, ends_line=None, tokens=[30, 31])
    assert block.mask_again(Fault(4, 5), before) == 4
    assert block.tokens == [40, MASK, MASK, MASK, MASK, 45]
    assert block.choices == 2
    said = Prediction(
        [40, 41, 42, 43, 44, 45], [log(0.9)] * 6, [[(50 + place, log(0.6))] for place in range(6)], entropy=[0.0] * 6
    )
    block.advance(said)
    assert block.tokens == [40, 41, 42, 53, 44, 45], "the least certain token may not come back"
    assert exp(block.log_probability[3]) == pytest.approx(0.6)


def test_a_block_that_is_not_mended_is_what_it_was() -> None:
    tokens = [40, 41, END_OF_MIDDLE, 43]
    block = block_of(tokens, [0.9, 0.8, 0.7, 0.9])
    first = [*block.tokens]
    answer = Answer(max_tokens=40, ends_line=None)
    others: list[list[tuple[int, float]]] = [[(60 + place, -1.0), (70 + place, -2.0)] for place in range(4)]
    for _ in range(MOST_TIMES_MASKED_AGAIN):
        assert block.mask_again(Fault(1, 2), answer)
        while not block.finished:
            block.advance(Prediction(tokens, [-0.2] * 4, others))
    assert block.tokens != first
    assert block.mask_again(Fault(1, 2), answer) == 0
    assert block.tokens == first


@pytest.mark.parametrize("fault", [None, Fault(0, 1)])
def test_a_block_without_an_error_of_its_own_stays(fault: Fault | None) -> None:
    block = block_of([40, 41], [0.9, 0.9])
    assert block.mask_again(fault, Answer(max_tokens=40, ends_line=None, tokens=[30, 31, 32])) == 0
    assert block.tokens == [40, 41]


def test_guidance_needs_a_span_of_a_size_that_can_be_parsed() -> None:
    request = DecodeRequest(prompt=pack_ids(PROMPT), guided=True)
    assert str(request.problem(VOCABULARY_SIZE)).startswith("guided: ")
    long = Span(kind="line", prefix="x" * 50_000, suffix="", language="python")
    assert str(msgspec.structs.replace(request, span=long).problem(VOCABULARY_SIZE)).startswith("span: ")
    assert Guide(long, TOKENIZER).fault(ids("a"), True) is None
