"""The decoder as the engine process uses it: reuse between requests, cancellation, bounds, and what it reports."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import torch

from diffill.model.cache import CacheFull, PagePool
from diffill.model.checkpoint import checkpoint_hash
from diffill.model.code.span import Span
from diffill.model.decoder_loading import load_decoder
from diffill.model.decoding_turn import Decoding, DeviceLost
from diffill.model.device import choose_device
from diffill.model.engine import BlockDecoder
from diffill.model.network import PREFILL_TOKENS, NotFinite, Part
from diffill.model.request import (
    MAX_NEW_TOKENS,
    MAX_PROMPT_TOKENS,
    Cancelled,
    DecodeRequest,
    DecodeResult,
    Mode,
    ModelInfo,
    Step,
    pack_ids,
    unpack_ids,
)
from diffill.model.threads import FreeCores
from diffill.model.tokenizer import END_OF_MIDDLE, MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX
from tests.scripted_network import ScriptedNetwork, as_network
from tests.tiny import VOCABULARY_SIZE, tiny_checkpoint, tiny_config, tiny_network, tiny_tokenizer, tiny_weights

MODES: tuple[Mode, ...] = ("ar", "verify", "diffusion")
INFO = ModelInfo(
    name="tiny",
    hash="0" * 12,
    adapter=None,
    device="cpu",
    vocabulary_size=VOCABULARY_SIZE,
    block_size=8,
    parameters=1,
)
NETWORK = tiny_network(tiny_config())


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FreeCores, "count", lambda self: 1)


def new_decoder() -> BlockDecoder:
    return BlockDecoder(NETWORK, tokenizer=tiny_tokenizer(), info=INFO)


def text(length: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    return [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(length)]


def prompt_of(prefix: list[int], suffix: list[int]) -> list[int]:
    return [SUFFIX, *suffix, PREFIX, *prefix, MIDDLE]


def request_of(prompt: list[int], mode: Mode = "verify", max_tokens: int = 10, **rest: bool) -> DecodeRequest:
    return DecodeRequest(prompt=pack_ids(prompt), mode=mode, max_tokens=max_tokens, **rest)


def said(result: DecodeResult) -> tuple[bytes, str, float]:
    return result.tokens, result.finish, result.score


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
def test_steps_end_as_the_answer(mode: Mode) -> None:
    steps: list[Step] = []
    result = new_decoder().decode(request_of(prompt_of(text(20, 7), []), mode, 12), on_step=steps.append)
    assert [step.forward_pass for step in steps] == list(range(1, result.forward_passes + 1))
    shown: list[int] = []
    for step in steps:
        shown[step.start :] = unpack_ids(step.tokens)
        assert len(step.confidence) * 4 == len(step.tokens)
        assert all(0.0 <= value <= 1.0 for value in step.confidence)
    answer = unpack_ids(result.tokens)
    assert shown[: len(answer)] == answer
    assert result.steps == result.forward_passes
    assert result.score < 0.0
    assert result.prefill_ms > 0.0
    assert result.denoise_ms > 0.0


def test_passes_of_plain_decoding_are_its_tokens() -> None:
    result = new_decoder().decode(request_of(prompt_of(text(20, 8), []), "ar", 9))
    assert result.finish == "length"
    assert result.forward_passes == len(unpack_ids(result.tokens)) == 9


@pytest.mark.parametrize("mode", MODES)
def test_stop_at_the_end_of_a_line(mode: Mode) -> None:
    tokenizer = tiny_tokenizer()
    line = tokenizer.encode("return x\nand more")
    prompt = prompt_of([40], [])
    network = ScriptedNetwork(tiny_config(), lambda seen: [*line, END_OF_MIDDLE][len(seen) - len(prompt)])
    decoder = BlockDecoder(as_network(network), tokenizer=tokenizer, info=INFO)
    result = decoder.decode(request_of(prompt, mode, 10, stop_at_line_end=True))
    assert tokenizer.decode(unpack_ids(result.tokens)) == "return x\n"
    assert result.finish == "line"


SPANS = [
    # At the first line that begins further left; blank lines say nothing, nor does the line of the cursor.
    (Span(kind="block", prefix="    ", suffix="", indentation=4), "x = 1\n    y\n\n    z\n  e", "nd\n"),
    (Span(kind="block", prefix="  ", suffix="", indentation=2), "x = 1\n    y\n\n    z\n  end\n", ""),
    # The bracket that closes the block belongs to it where the file lacks it.
    (Span(kind="body", prefix="f() {\n  ", suffix="", indentation=2, language="go"), "a()\n}\n", "b()\n"),
    (Span(kind="body", prefix="f() {\n  ", suffix="\n}", indentation=2, language="go"), "a()\n}", "\nb()\n"),
    # A statement ends with its line, but not within brackets.
    (Span(kind="statement", prefix="x = f(", suffix=")"), "a,\n  b)\n", "y = 2\n"),
]


@pytest.mark.parametrize(("span", "wanted", "rest"), SPANS)
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_decoded_behind_the_end_of_the_span(mode: Mode, span: Span, wanted: str, rest: str) -> None:
    tokenizer = tiny_tokenizer()
    written = [*tokenizer.encode(wanted + rest), *[END_OF_MIDDLE] * 20]
    prompt = prompt_of([40], [])
    network = ScriptedNetwork(tiny_config(), lambda seen: written[max(0, len(seen) - len(prompt))])
    decoder = BlockDecoder(as_network(network), tokenizer=tokenizer, info=INFO)
    result = decoder.decode(msgspec.structs.replace(request_of(prompt, mode, 40), span=span))
    assert (tokenizer.decode(unpack_ids(result.tokens)), result.finish) == (wanted, "span" if rest else "eom")
    assert result.forward_passes <= len(wanted) + (not rest), "this network is never sure of two tokens at once"


@pytest.mark.parametrize("mode", MODES)
def test_start_with_a_space(mode: Mode) -> None:
    """The first token only, and an empty answer stays possible."""
    tokenizer = tiny_tokenizer()
    spaced = []
    for seed in range(8):
        prompt = prompt_of(text(12, seed), [])
        result = new_decoder().decode(request_of(prompt, mode, 4, starts_with_space=True))
        spaced.append(tokenizer.decode(unpack_ids(result.tokens)))
        if mode == "verify":
            plain = new_decoder().decode(request_of(prompt, "ar", 4, starts_with_space=True))
            assert said(result) == said(plain)
    assert all(answer.startswith(" ") or not answer for answer in spaced)
    assert any(answer and not answer[1:].isspace() for answer in spaced)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_to_say(mode: Mode) -> None:
    network = ScriptedNetwork(tiny_config(), lambda seen: END_OF_MIDDLE)
    decoder = BlockDecoder(as_network(network), tokenizer=tiny_tokenizer(), info=INFO)
    result = decoder.decode(request_of(prompt_of([40], []), mode))
    assert (result.tokens, result.finish, result.forward_passes, result.score) == (b"", "eom", 1, -0.5)


def test_a_prompt_of_one_token() -> None:
    result = new_decoder().decode(request_of([MIDDLE], max_tokens=2))
    assert result.cached_tokens == 0


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (DecodeRequest(prompt=b""), "prompt"),
        (DecodeRequest(prompt=b"\x01\x02\x03"), "prompt"),
        (request_of([VOCABULARY_SIZE]), "prompt"),
        (request_of([2**32 - 1]), "prompt"),
        (request_of([20] * (MAX_PROMPT_TOKENS + 1)), "prompt"),
        (request_of([20], max_tokens=-1), "max_tokens"),
        (request_of([20], max_tokens=MAX_NEW_TOKENS + 1), "max_tokens"),
    ],
)
def test_out_of_bounds_names_the_field(request_: DecodeRequest, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: ") as caught:
        new_decoder().decode(request_)
    assert "\n" not in str(caught.value)


def test_loaded_from_a_directory(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path / "made")
    decoder = load_decoder(checkpoint=directory, device="cpu")
    info = decoder.info
    assert (info.name, info.device, info.adapter) == ("tiny", "cpu", None)
    assert info.hash == checkpoint_hash(directory)
    assert info.vocabulary_size == VOCABULARY_SIZE
    assert info.parameters == sum(
        weight.numel() for weight in tiny_weights(tiny_config()).values() if weight.dim() == 2
    )
    prompt = request_of(prompt_of(text(20, 9), text(9, 9)))
    assert said(decoder.decode(prompt)) == said(new_decoder().decode(prompt))


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing is not a directory"):
        load_decoder(checkpoint=tmp_path / "missing", device="cpu")
    with pytest.raises(ValueError, match=r"tokenizer\.json is missing"):
        load_decoder(checkpoint=tmp_path, device="cpu")


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    """Its ids would be looked up in rows that are not there, or mean something else."""
    directory = tiny_checkpoint(tmp_path / "made", config=tiny_config(vocabulary_size=VOCABULARY_SIZE + 7))
    with pytest.raises(ValueError, match=r"tokenizer\.json.*273.*280"):
        load_decoder(checkpoint=directory, device="cpu")


def test_device_by_name() -> None:
    assert choose_device("cpu")[0] == "cpu"
    with pytest.raises(ValueError, match="device: 'gpu' is not one of"):
        choose_device("gpu")
    for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(ValueError, match=f"^device: {name}"):
                choose_device(name)


@pytest.mark.parametrize("mode", MODES)
def test_candidates_are_distinct_and_the_first_is_the_plain_answer(mode: Mode) -> None:
    wanted = request_of(prompt_of(text(30, 9), text(10, 10)), mode)
    plain = new_decoder().decode(wanted)
    result = new_decoder().decode(msgspec.structs.replace(wanted, candidates=4))
    assert (result.tokens, result.finish) == (plain.tokens, plain.finish)
    assert not plain.alternatives and len(result.alternatives) == 3
    assert len({result.tokens, *(other.tokens for other in result.alternatives)}) == 4
    scores = [other.score for other in result.alternatives]
    assert scores == sorted(scores, reverse=True)


def test_a_candidate_goes_on_as_if_its_beginning_had_been_typed() -> None:
    prompt = prompt_of(text(30, 9), text(10, 10))
    result = new_decoder().decode(msgspec.structs.replace(request_of(prompt), candidates=3))
    best = unpack_ids(result.tokens)
    for other in result.alternatives:
        ids = unpack_ids(other.tokens)
        differs = next((at for at, token in enumerate(ids) if token != best[at]), len(ids))
        if differs == len(ids):  # it ends where the other goes on
            assert other.finish == "eom"
            continue
        typed = request_of([*prompt, *ids[: differs + 1]], max_tokens=10 - differs - 1)
        assert ids[differs + 1 :] == unpack_ids(new_decoder().decode(typed).tokens)


def test_every_token_has_a_score() -> None:
    result = new_decoder().decode(request_of(prompt_of(text(20, 8), [])))
    assert len(result.token_scores) == len(unpack_ids(result.tokens)) == 10
    assert sum(result.token_scores) / 10 == pytest.approx(result.score)


def finish(decoder: BlockDecoder, decodings: list[Decoding]) -> list[DecodeResult]:
    """Turn after turn for those that are not over, as the scheduler does."""
    while going := [decoding for decoding in decodings if not decoding.over]:
        decoder.advance(going)
    return [decoding.result for decoding in decodings if decoding.result is not None]


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


def test_out_of_memory_shrinks_the_cache_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(70, 1), text(20, 1)))
    alone = said(new_decoder().decode(wanted))
    capacity, run, calls = decoder.pool.capacity, NETWORK.run, iter(range(100))

    def scarce(parts: Sequence[Part]) -> list[torch.Tensor]:
        if next(calls) == 2:
            raise torch.OutOfMemoryError("PRIVATE")
        return run(parts)

    monkeypatch.setattr(NETWORK, "run", scarce)
    assert said(decoder.decode(wanted)) == alone
    assert decoder.pool.capacity == capacity // 2


def test_out_of_memory_for_good_ends_the_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(70, 1), text(20, 1)))

    def none(parts: Sequence[Part]) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError("PRIVATE")

    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "run", none)
        with pytest.raises(MemoryError, match="no memory for this request"):
            decoder.decode(wanted)
    assert said(decoder.decode(wanted)) == said(new_decoder().decode(wanted))


def test_requests_wait_for_room_and_all_are_answered() -> None:
    """A pool of a few pages: whoever has room goes on, and its end makes room for the next."""
    wanted = [request_of(prompt_of(text(70, seed), []), max_tokens=6) for seed in range(5)]
    alone = [said(new_decoder().decode(request)) for request in wanted]
    decoder = new_decoder()
    decoder.pool = PagePool(NETWORK.new_storage, capacity=6)
    decodings = [decoder.begin(request) for request in wanted]
    assert [said(result) for result in finish(decoder, decodings)] == alone


def test_a_request_that_never_fits_is_refused() -> None:
    decoder = new_decoder()
    decoder.pool = PagePool(NETWORK.new_storage, capacity=2)
    with pytest.raises(CacheFull, match="all 2 pages"):
        decoder.decode(request_of(prompt_of(text(90, 1), [])))


def test_broken_numbers_end_the_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    good, bad = (request_of(prompt_of(text(30, seed), [])) for seed in (1, 2))
    run = NETWORK.run

    def broken(parts: Sequence[Part]) -> list[torch.Tensor]:
        states = run(parts)
        states[-1] = torch.full_like(states[-1], torch.nan)
        return states

    decodings = [decoder.begin(good), decoder.begin(bad)]
    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "run", broken)
        while not decodings[1].over:
            decoder.advance(decodings)
    assert isinstance(decodings[1].error, NotFinite)
    assert said(finish(decoder, decodings[:1])[0]) == said(new_decoder().decode(good))


def test_broken_numbers_leave_nothing_behind_that_others_would_reuse(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(90, 1), text(40, 1)))
    run = NETWORK.run

    def broken(parts: Sequence[Part]) -> list[torch.Tensor]:
        states = run(parts)
        for part in parts:
            part.cache.storage.view(torch.uint8)[part.cache.pages[: part.cache.page_count]] = 0xFF  # not a number
        return [torch.full_like(state, torch.nan) for state in states]

    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "run", broken)
        with pytest.raises(NotFinite):
            decoder.decode(wanted)
    again = decoder.decode(wanted)
    assert again.cached_tokens == 0
    assert said(again) == said(new_decoder().decode(wanted))


@pytest.mark.parametrize("fault", [torch.AcceleratorError("unplugged"), torch.OutOfMemoryError("none left")], ids=repr)
def test_what_an_accelerator_cannot_go_on_from_is_a_lost_device(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    decoder = new_decoder()

    def gone(parts: Sequence[Part]) -> list[torch.Tensor]:
        raise fault

    monkeypatch.setattr(NETWORK, "device", torch.device("cuda"))
    monkeypatch.setattr(NETWORK, "run", gone)
    with pytest.raises(DeviceLost, match=r"unplugged|no memory left"):
        decoder.decode(request_of(text(30, 1)))


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
