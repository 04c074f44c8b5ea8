"""What requests share in the decoder, forward passes and pages, and that no answer shows it."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from diffill.model.cache import PagePool
from diffill.model.engine import BlockDecoder
from diffill.model.network import PREFILL_TOKENS
from diffill.model.request import (
    MAX_PROMPT_TOKENS,
    Cancelled,
    Mode,
    Step,
    unpack_ids,
)
from tests.tiny import text, tiny_config, tiny_network, tiny_tokenizer
from tests.tiny_decoder import INFO, MODES, NETWORK, finish, new_decoder, prompt_of, request_of, said

pytestmark = pytest.mark.usefixtures("one_thread")


def cancel_after(passes: int) -> Callable[[], bool]:
    asked = iter(range(10_000))
    return lambda: next(asked) >= passes


@pytest.mark.parametrize("mode", MODES)
def test_typing_reuses_all_but_what_changed(mode: Mode) -> None:
    """The suffix comes first, so that a longer prefix only adds to what is cached; MIDDLE itself is not cached."""
    decoder = new_decoder()
    suffix, prefix = text(40, 1), text(30, 2)
    first = decoder.decode(request_of(prompt_of(prefix, suffix), mode))
    assert first.cached_tokens == 0
    common = 2 + len(suffix) + len(prefix)
    again = decoder.decode(request_of(prompt_of(prefix, suffix), mode))
    assert again.cached_tokens == common
    assert said(again) == said(first)
    longer = request_of(prompt_of([*prefix, 77, 78], suffix), mode)
    typed = decoder.decode(longer)
    assert typed.cached_tokens == common
    assert said(typed) == said(new_decoder().decode(longer)), "a warm cache must not show in the answer"
    deleted = request_of(prompt_of(prefix[:-4], suffix), mode)
    assert decoder.decode(deleted).cached_tokens == common - 4
    assert said(decoder.decode(deleted)) == said(new_decoder().decode(deleted))


@pytest.mark.parametrize("mode", MODES)
def test_what_was_accepted_and_typed_on_is_answered_as_without_a_cache(mode: Mode) -> None:
    """Answers stay in the cache behind the prompt, where a later prompt may meet them."""
    decoder = new_decoder()
    prompt = [*prompt_of(text(20, 3), text(10, 4))]
    answer = unpack_ids(decoder.decode(request_of(prompt, mode)).tokens)
    later = request_of([*prompt, *answer, 90, 91], mode)
    assert said(decoder.decode(later)) == said(new_decoder().decode(later))


@pytest.mark.parametrize("passes", range(6))
@pytest.mark.parametrize("mode", MODES)
def test_cancellation_leaves_a_cache_to_go_on_with(mode: Mode, passes: int) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(PREFILL_TOKENS, 5), text(PREFILL_TOKENS, 6)), mode)
    steps: list[Step] = []
    with pytest.raises(Cancelled):
        decoder.decode(wanted, on_step=steps.append, is_cancelled=cancel_after(passes))
    prefill = -(-(2 * PREFILL_TOKENS + 2) // PREFILL_TOKENS)
    assert len(steps) == max(0, passes - prefill), "no pass is begun once it is cancelled"
    result = decoder.decode(wanted)
    assert result.cached_tokens == min(passes * PREFILL_TOKENS, 2 * PREFILL_TOKENS + 2)
    assert said(result) == said(new_decoder().decode(wanted))


def test_documents_take_turns() -> None:
    """Every answer is as if there were no other document, and none has to be read again."""
    decoder = new_decoder()
    prompts = [prompt_of(text(30, 10 + seed), text(20, 20 + seed)) for seed in range(8)]
    alone = [said(new_decoder().decode(request_of(prompt, max_tokens=4))) for prompt in prompts]
    for prompt, wanted in zip(prompts, alone, strict=True):
        result = decoder.decode(request_of(prompt, max_tokens=4))
        assert said(result) == wanted
        assert result.cached_tokens <= 1  # all prompts begin with SUFFIX
    for prompt, wanted in zip(prompts, alone, strict=True):
        result = decoder.decode(request_of(prompt, max_tokens=4))
        assert (result.cached_tokens, said(result)) == (len(prompt) - 1, wanted)


def test_a_prompt_read_ahead_answers_sooner_and_the_same() -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(90, 1), text(60, 2)))
    ahead = decoder.decode(msgspec.structs.replace(wanted, max_tokens=0))
    assert (ahead.tokens, ahead.finish, ahead.forward_passes) == (b"", "length", 0)
    result = decoder.decode(wanted)
    assert result.cached_tokens == 90 + 60 + 2
    assert said(result) == said(new_decoder().decode(wanted))


@pytest.mark.parametrize("mode", MODES)
def test_requests_side_by_side_answer_as_alone(mode: Mode) -> None:
    """Also when they share their beginning, join late, and bring candidates of their own."""
    wanted = [request_of(prompt_of(text(20 + 30 * seed, seed), text(40, 1)), mode) for seed in range(4)]
    wanted[1] = msgspec.structs.replace(wanted[1], candidates=3)
    alone = [said(new_decoder().decode(request)) for request in wanted]
    decoder = new_decoder()
    decodings = [decoder.begin(request) for request in wanted[:2]]
    decoder.advance(decodings)
    decodings += [decoder.begin(request) for request in wanted[2:]]
    assert [said(result) for result in finish(decoder, decodings)] == alone


def test_dropped_requests_give_back_all_they_held() -> None:
    decoder = new_decoder()
    pages = decoder.pool.available
    generator = random.Random(5)
    for seed in range(30):
        mode = generator.choice(MODES)
        decoding = decoder.begin(request_of(prompt_of(text(70, seed % 7), text(20, 1)), mode))
        for _ in range(generator.randrange(6)):
            if not decoding.over:
                decoder.advance([decoding])
        decoding.fail(Cancelled())
        assert decoding.over
    assert decoder.pool.available == pages
    wanted = request_of(prompt_of(text(70, 3), text(20, 1)))
    assert said(decoder.decode(wanted)) == said(new_decoder().decode(wanted))


def test_requests_wait_for_room_and_all_are_answered() -> None:
    """A pool of a few pages: whoever has room goes on, and its end makes room for the next."""
    wanted = [request_of(prompt_of(text(70, seed), []), max_tokens=6) for seed in range(5)]
    alone = [said(new_decoder().decode(request)) for request in wanted]
    decoder = new_decoder()
    decoder.pool = PagePool(NETWORK.new_storage, capacity=6)
    decodings = [decoder.begin(request) for request in wanted]
    assert [said(result) for result in finish(decoder, decodings)] == alone


def test_verify_is_ar_on_a_thousand_random_prompts() -> None:
    """Whatever the weights, the company in a step and the state of the cache."""
    config = tiny_config(draft_size=3, draft_threshold=0.01)
    networks = [tiny_network(config, seed) for seed in range(3)]
    decoders = [BlockDecoder(network, tokenizer=tiny_tokenizer(), info=INFO) for network in networks]
    generator = random.Random(7)
    beginnings = [text(length, length) for length in (0, 20, 33, 70)]
    for number in range(250):
        prompts = [generator.choice(beginnings) + text(generator.randrange(1, 40), number) for _ in range(4)]
        answers = []
        for mode in ("ar", "verify"):
            decoder = decoders[number % 3]
            requests = [request_of(prompt, mode, 5) for prompt in prompts]
            if generator.random() < 0.5:
                answers.append([said(result)[:2] for result in finish(decoder, [*map(decoder.begin, requests)])])
            else:
                answers.append([said(decoder.decode(request))[:2] for request in requests])
        assert answers[0] == answers[1]


def test_the_longest_request_of_all() -> None:
    """To the last slot, with candidates that all go on to the end."""
    prompt = text(MAX_PROMPT_TOKENS, 1)
    decoder = new_decoder()
    result = decoder.decode(request_of(prompt, "ar", 40))
    again = decoder.decode(request_of(prompt, "verify", 40))
    assert again.cached_tokens == MAX_PROMPT_TOKENS - 1
    assert (again.tokens, again.finish) == (result.tokens, result.finish)
