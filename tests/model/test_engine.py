"""What the decoder answers and reports: ends, steps, scores, candidates and bounds."""

from __future__ import annotations

import msgspec
import pytest

from diffill.model.code.span import Span
from diffill.model.engine import BlockDecoder
from diffill.model.request import (
    MAX_NEW_TOKENS,
    MAX_PROMPT_TOKENS,
    DecodeRequest,
    Mode,
    Step,
    unpack_ids,
)
from diffill.model.tokenizer import END_OF_MIDDLE, MIDDLE
from tests.scripted_network import ScriptedNetwork, as_network
from tests.tiny import VOCABULARY_SIZE, text, tiny_config, tiny_tokenizer
from tests.tiny_decoder import INFO, MODES, new_decoder, prompt_of, request_of, said

pytestmark = pytest.mark.usefixtures("one_thread")


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
