"""The decoder over a tiny random model, and what its tests ask it."""

from __future__ import annotations

from diffill.model.decoding_turn import Decoding
from diffill.model.engine import BlockDecoder
from diffill.model.request import DecodeRequest, DecodeResult, Mode, ModelInfo, pack_ids
from diffill.model.tokenizer import MIDDLE, PREFIX, SUFFIX
from tests.tiny import VOCABULARY_SIZE, tiny_config, tiny_network, tiny_tokenizer

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


def new_decoder() -> BlockDecoder:
    return BlockDecoder(NETWORK, tokenizer=tiny_tokenizer(), info=INFO)


def prompt_of(prefix: list[int], suffix: list[int]) -> list[int]:
    return [SUFFIX, *suffix, PREFIX, *prefix, MIDDLE]


def request_of(prompt: list[int], mode: Mode = "verify", max_tokens: int = 10, **rest: bool) -> DecodeRequest:
    return DecodeRequest(prompt=pack_ids(prompt), mode=mode, max_tokens=max_tokens, **rest)


def said(result: DecodeResult) -> tuple[bytes, str, float]:
    return result.tokens, result.finish, result.score


def finish(decoder: BlockDecoder, decodings: list[Decoding]) -> list[DecodeResult]:
    """Turn after turn for those that are not over, as the scheduler does."""
    while going := [decoding for decoding in decodings if not decoding.over]:
        decoder.advance(going)
    return [decoding.result for decoding in decodings if decoding.result is not None]
