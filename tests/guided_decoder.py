"""A decoder that writes what it is told to, a request that guides it, and a guide that has its own taste."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from math import log

from diffill.model.code.guide import Fault
from diffill.model.code.span import Span
from diffill.model.engine import BlockDecoder
from diffill.model.request import DecodeRequest, Mode, pack_ids
from diffill.model.tokenizer import END_OF_MIDDLE, MIDDLE, PREFIX, SUFFIX
from tests.scripted_network import ScriptedNetwork, Text, as_network
from tests.tiny import tiny_config, tiny_tokenizer
from tests.tiny_decoder import INFO

TOKENIZER = tiny_tokenizer()
PROMPT = [SUFFIX, PREFIX, 40, MIDDLE]
SPAN = Span(kind="line", prefix="x = ", suffix="\ny = 1\n", language="python")
SURE = 0.6


def ids(text: str) -> list[int]:
    return TOKENIZER.encode(text)


def decoder_that_writes(text: str, second_best: dict[str, str] | None = None) -> BlockDecoder:
    """It goes on with `text` whatever stands before; where a character is refused, its second best is taken."""
    wanted = [*ids(text), END_OF_MIDDLE]
    second = {ids(first)[0]: ids(other)[0] for first, other in (second_best or {}).items()}

    def next_token(seen: Text) -> int:
        return wanted[min(max(0, len(seen) - len(PROMPT)), len(wanted) - 1)]

    network = ScriptedNetwork(
        tiny_config(block_size=4, threshold=0.5),
        next_token,
        log_probability=log(SURE),
        second_best=lambda token: second.get(token, token + 1),
    )
    return BlockDecoder(as_network(network), tokenizer=TOKENIZER, info=INFO)


def guided_request(mode: Mode, *, guided: bool = True, max_tokens: int = 40, candidates: int = 1) -> DecodeRequest:
    return DecodeRequest(
        prompt=pack_ids(PROMPT), mode=mode, max_tokens=max_tokens, span=SPAN, guided=guided, candidates=candidates
    )


class Picky:
    """A guide that has something against one answer in two, for no reason."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def ended(self, tokens: Sequence[int]) -> bool:
        return False

    def fault(self, tokens: Sequence[int], finished: bool) -> Fault | None:
        chosen = zlib.crc32(bytes([self.seed, finished, *(token % 256 for token in tokens)]))
        if not tokens or chosen % 2 or not (finished or chosen % 16 < 2):
            return None
        first = chosen // 2 % len(tokens)
        return Fault(first, first + chosen // 64 % 5)
