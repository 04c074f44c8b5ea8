"""Further answers are mended side by side as they would be one after the other, within one budget."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from math import log
from typing import Any
from unittest import mock

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.cache import PagePool
from diffill.model.code.guide import Fault
from diffill.model.decoding import Answer, Passes, Snapshot
from diffill.model.decoding.answer import Fork
from diffill.model.decoding.mending import MOST_ATTEMPTS, Mending, mend_others
from diffill.model.decoding.passes import together
from diffill.model.engine import BlockDecoder
from diffill.model.request import DecodeResult, Finish, Mode, unpack_ids
from diffill.model.tokenizer import NUM_CONTROL_IDS
from tests.guided_decoder import TOKENIZER, Picky, decoder_that_writes, guided_request, ids
from tests.tiny import text, tiny_config, tiny_network
from tests.tiny_decoder import INFO, MODES, finish, prompt_of, request_of

pytestmark = pytest.mark.usefixtures("one_thread")
NETWORKS = [tiny_network(tiny_config(draft_size=3, draft_threshold=0.01, block_size=6), seed) for seed in range(3)]


def said(result: DecodeResult) -> list[tuple[str, Finish]]:
    return [(TOKENIZER.decode(unpack_ids(answer.tokens)), answer.finish) for answer in result.answers()]


def answered(result: DecodeResult) -> tuple[Any, ...]:
    """All that two modes or two ways must have in common."""
    return result.tokens, result.finish, result.score, result.token_scores, result.alternatives


def one_after_the_other(
    sequences: Sequence[Passes[None]], show: Callable[[Snapshot], None] = lambda snapshot: None
) -> Generator[Any, Any, None]:
    """The plain twin of `together`."""
    for sequence in sequences:
        yield from together([sequence], show)


@pytest.mark.parametrize("mode", MODES)
def test_candidates_are_mended(mode: Mode) -> None:
    likely = {"(": "[", ")": "]"}
    plain = said(decoder_that_writes("foo(a)", likely).decode(guided_request(mode, guided=False, candidates=7)))
    assert ("foo[a)", "eom") in plain and ("foo(a]", "eom") in plain
    mended = said(decoder_that_writes("foo(a)", likely).decode(guided_request(mode, candidates=7)))
    assert mended[0] == plain[0]
    assert ("foo[a]", "eom") in mended and "foo[a)" not in dict(mended)
    sound = [text for text, _ in plain if text not in ("foo[a)", "foo(a]")]
    assert set(sound) <= {text for text, _ in mended}, "what has no error stays"


@pytest.mark.parametrize("mode", MODES)
def test_candidates_without_an_error_cost_no_pass(mode: Mode) -> None:
    decoders = [decoder_that_writes("foo(a)", {"(": "+", ")": "-"}) for _ in range(2)]
    requests = [guided_request(mode, guided=guided, candidates=4) for guided in (False, True)]
    results = [decoder.decode(request) for decoder, request in zip(decoders, requests, strict=True)]
    assert answered(results[0]) == answered(results[1])
    assert results[0].forward_passes == results[1].forward_passes


@pytest.mark.parametrize("mode", ["ar", "verify"])
def test_what_cannot_be_mended_is_left_as_it_was(mode: Mode) -> None:
    """Every closing bracket but the right one is tried, and all are worse."""
    likely = {")": "]", "]": "}", "}": "/"}
    plain = said(decoder_that_writes("foo(a)", likely).decode(guided_request(mode, guided=False, candidates=7)))
    guided = said(decoder_that_writes("foo(a)", likely).decode(guided_request(mode, candidates=7)))
    assert ("foo(a]", "eom") in plain
    assert ("foo(a]", "error") in guided


class NoBrackets(Picky):
    """A guide that has something against two beginnings."""

    def fault(self, tokens: Sequence[int], finished: bool) -> Fault | None:
        return Fault(0, 0) if finished and tokens[:1] in (ids(")"), ids("]")) else None


@pytest.mark.parametrize("mode", MODES)
def test_what_was_mended_into_the_same_is_answered_once(mode: Mode) -> None:
    """Two wrong brackets make way for the same third one; the answer to which both lead is not offered twice."""
    decoder = decoder_that_writes("a", {"a": ")", ")": "]", "]": "b"})
    with mock.patch("diffill.model.engine.Guide", lambda *_, **__: NoBrackets(0)):
        result = decoder.decode(guided_request(mode, candidates=4))
    assert sorted(unpack_ids(answer.tokens)[0] for answer in result.answers()) == [*ids("a"), *ids("a"), *ids("b")]
    assert len({answer.tokens for answer in result.answers()}) == 3


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 255), st.integers(1, 20), st.integers(2, 6), st.integers(1, 30), st.integers(0, 2))
def test_side_by_side_as_one_after_the_other(
    seed: int, max_tokens: int, candidates: int, length: int, weights: int
) -> None:
    """Whatever is at fault, in real arithmetic; `verify` equals `ar` in every answer, also beside other requests."""
    wanted = request_of(prompt_of(text(length, seed), []), max_tokens=max_tokens)
    wanted = msgspec.structs.replace(wanted, span=guided_request("ar").span, guided=True, candidates=candidates)
    other = msgspec.structs.replace(wanted, prompt=request_of(prompt_of(text(length + 3, seed), [])).prompt)
    results = {}
    with mock.patch("diffill.model.engine.Guide", lambda *_, **__: Picky(seed)):
        for mode in MODES:
            request = msgspec.structs.replace(wanted, mode=mode)
            decoder = BlockDecoder(NETWORKS[weights], tokenizer=TOKENIZER, info=INFO)
            beside, _ = finish(decoder, [decoder.begin(request), decoder.begin(other)])
            with mock.patch("diffill.model.branches.together", one_after_the_other):
                alone = BlockDecoder(NETWORKS[weights], tokenizer=TOKENIZER, info=INFO).decode(request)
            assert answered(beside) == answered(alone)
            assert beside.forward_passes == alone.forward_passes
            assert beside.forward_passes <= (candidates + 1) * max_tokens + candidates * MOST_ATTEMPTS
            answers = [unpack_ids(answer.tokens) for answer in beside.answers()]
            assert len({tuple(answer) for answer in answers}) == len(answers) <= candidates
            assert all(len(answer) <= max_tokens for answer in answers)
            results[mode] = beside
    assert answered(results["ar"]) == answered(results["verify"])


def test_candidates_under_repair_need_no_more_pages_than_were_promised() -> None:
    """A pool that just holds what one such request was promised; after it every page is to be had again."""
    wanted = msgspec.structs.replace(guided_request("verify", candidates=4, max_tokens=20))
    with mock.patch("diffill.model.engine.Guide", lambda *_, **__: Picky(3)):
        decoder = BlockDecoder(NETWORKS[0], tokenizer=TOKENIZER, info=INFO)
        free = decoder.decode(wanted)
        decoder.pool = PagePool(NETWORKS[0].new_storage, capacity=4 * 4 + 1)
        results = finish(decoder, [decoder.begin(wanted) for _ in range(2)])
    assert [answered(result) for result in results] == [answered(free)] * 2
    assert decoder.pool.available == decoder.pool.capacity


def answer_with(tokens: list[int], fault: Fault | None, probability: float = 0.5) -> Answer:
    answer = Answer(max_tokens=40, ends_line=None)
    for token in tokens:
        answer.place(token, log(probability))
    answer.finish, answer.fault = ("error" if fault else "eom"), fault
    return answer


def mending_of(answer: Answer) -> Mending:
    return Mending(answer, vocabulary_size=100, device=torch.device("cpu"))


def refused(answer: Answer | None) -> list[int]:
    assert answer is not None and answer.refused_next is not None
    return answer.refused_next.nonzero().flatten().tolist()


def test_what_an_answer_shares_with_another_is_not_taken_back() -> None:
    first, other = answer_with([40, 41, 42], None), answer_with([40, 41, 52, 53], Fault(0, 2), probability=0.3)
    (mending,) = mend_others(mending_of(first), [other])
    attempt = mending.next()
    assert attempt is not None and attempt.tokens == [40, 41]
    assert refused(attempt) == [42, 52], "what the first answer has there would be the first answer again"
    assert attempt.place(60, log(0.5))
    assert attempt.log_probability[-1] == pytest.approx(log(0.5 * (1 - 0.5 - 0.3)))


def test_one_budget_is_shared_by_those_at_fault() -> None:
    first = answer_with([40] * 10, None)
    first.decisions += 10  # as after an attempt
    others = [answer_with([50 + number, 60], Fault(1, 1) if number < 3 else None) for number in range(4)]
    mendings = mend_others(mending_of(first), others)
    for other, mending in zip(others, mendings, strict=True):
        attempt = mending.next()
        assert (attempt is None) == (other.fault is None)
        assert attempt is None or attempt.max_tokens == 1 + (40 - 10) // 3


def test_a_fork_at_a_place_with_refused_tokens_is_as_likely_as_what_is_left() -> None:
    answer = answer_with([40], Fault(0, 0), probability=0.9)
    attempt = mending_of(answer).next()
    assert attempt is not None
    attempt.choices = 2
    attempt.place(41, log(0.6), [(42, log(0.4))])
    attempt.place(NUM_CONTROL_IDS, log(0.5), [(43, log(0.3))])
    assert attempt.likely_forks(2) == [Fork(0, 42, log(0.4)), Fork(1, 43, log(0.3))]
    attempt.finish = "eom"
    other = attempt.forked(attempt.forks[0])
    assert other.log_probability == pytest.approx([log(0.1 * 0.4)])
