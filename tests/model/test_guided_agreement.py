"""Mended answers, with candidates, beside others and over any state of the cache: `verify` says what `ar` says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from diffill.model.code.guide import Guide
from diffill.model.code.span import Kind, Span
from diffill.model.engine import BlockDecoder
from diffill.model.request import DecodeRequest, DecodeResult, pack_ids
from diffill.model.tokenizer import MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX, Tokenizer
from tests.guided_decoder import Picky
from tests.tiny import tiny_config, tiny_network
from tests.tiny_decoder import INFO, MODES, finish

pytestmark = pytest.mark.usefixtures("one_thread")
WORDS = ["x", "f", "1", "Ġ+", "Ġ=", "(", ")", "[", "]", ",", "Ċ", "Ġif", ".", ":", "'"]
"""A vocabulary of which random text is code now and then, and often enough is not."""
TOKENIZER = Tokenizer.from_vocabulary([*(f"<|reserved_{index}|>" for index in range(NUM_CONTROL_IDS)), *WORDS], [])
VOCABULARY_SIZE = NUM_CONTROL_IDS + len(WORDS)
CONFIG = tiny_config(vocabulary_size=VOCABULARY_SIZE, draft_size=3, draft_threshold=0.01, block_size=6)
NETWORKS = [tiny_network(CONFIG, seed) for seed in range(4)]
HOLES = [("x =", "\n"), ("f(", ")\nx = 1\n"), ("if x:\n    ", "\n"), ("x = [1, ", "]\n"), ("", "\nx = 1\n")]
KINDS: tuple[Kind, ...] = ("line", "statement", "block", "body")


def new_decoder(number: int) -> BlockDecoder:
    info = msgspec.structs.replace(INFO, vocabulary_size=VOCABULARY_SIZE)
    return BlockDecoder(NETWORKS[number % len(NETWORKS)], tokenizer=TOKENIZER, info=info)


def request(generator: random.Random) -> DecodeRequest:
    """Random text is to go on in a hole in code."""
    seen = generator.choices(range(NUM_CONTROL_IDS, VOCABULARY_SIZE), k=generator.randrange(1, 24))
    kind = generator.choice(KINDS)
    prefix, suffix = generator.choice(HOLES)
    return DecodeRequest(
        prompt=pack_ids([SUFFIX, PREFIX, *seen, MIDDLE]),
        max_tokens=generator.randrange(1, 40),
        stop_at_line_end=kind == "line",
        span=Span(kind=kind, prefix=prefix, suffix=suffix, language="python"),
        guided=True,
        candidates=generator.randint(1, 4),
    )


def content(result: DecodeResult) -> object:
    return result.answers(), result.token_scores


@pytest.mark.parametrize("guide", ["code", "picky"])
def test_verify_is_ar_when_answers_are_mended(guide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both mended or neither: the same tokens, ends and scores, in the first answer and in all others."""
    generator = random.Random(11)
    decoders = [new_decoder(number) for number in range(len(NETWORKS))]
    ends, changed = Counter[str](), 0
    made: Callable[..., Any] = Guide if guide == "code" else lambda *_, **__: Picky(len(group))
    monkeypatch.setattr("diffill.model.engine.Guide", made)
    for number in range(100):
        group = [request(generator) for _ in range(generator.choice((1, 1, 2, 4)))]
        said = []
        for mode in generator.sample(("ar", "verify"), 2):
            decoder = decoders[number % len(decoders)] if generator.random() < 0.5 else new_decoder(number)
            asked = [msgspec.structs.replace(wanted, mode=mode) for wanted in group]
            if generator.random() < 0.5:
                said.append(finish(decoder, [decoder.begin(wanted) for wanted in asked]))
            else:
                said.append([decoder.decode(wanted) for wanted in asked])
        assert list(map(content, said[0])) == list(map(content, said[1]))
        plain = [new_decoder(number).decode(msgspec.structs.replace(wanted, guided=False)) for wanted in group]
        changed += sum(one.tokens != other.tokens for one, other in zip(plain, said[0], strict=True))
        ends.update(answer.finish for result in said[0] for answer in result.answers())
    assert changed > 10 and ends["error"] > 10, "without mending, and without faults that stay, this proves little"


@pytest.mark.parametrize("mode", MODES)
def test_an_answer_is_the_same_whoever_is_beside_it(mode: str) -> None:
    generator = random.Random(mode)
    for number in range(12):
        group = [msgspec.structs.replace(request(generator), mode=mode) for _ in range(4)]
        alone = [new_decoder(number).decode(wanted) for wanted in group]
        decoder = new_decoder(number)
        beside = finish(decoder, [decoder.begin(wanted) for wanted in group])
        assert list(map(content, alone)) == list(map(content, beside))
