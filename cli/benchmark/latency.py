"""One completion at a time: a prompt that was never read, and the same place one keystroke later."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Literal

from diffill.model.engine import BlockDecoder
from diffill.model.request import DecodeRequest, Mode

from .llama_cpp import LLAMA_CPP, LlamaCpp
from .place import Place, in_turn
from .report import Row, Sample, row

PREFIXES: tuple[Literal["cold", "warm"], ...] = ("cold", "warm")


def measure_latency(
    places: Iterable[Place],
    modes: Sequence[Mode],
    *,
    decoder: BlockDecoder,
    llama: LlamaCpp | None,
) -> list[Row]:
    """Every place in every mode, cold and then warm."""
    contenders = [*modes, LLAMA_CPP] if llama else list(modes)
    samples: dict[tuple[str, str], list[Sample]] = {(name, prefix): [] for name in contenders for prefix in PREFIXES}
    for index, place in enumerate(places):
        for name in in_turn(contenders, index):
            pair = place.requests(next((mode for mode in modes if mode == name), "ar"))
            decoder.pool.forget()
            for prefix, request in zip(PREFIXES, pair, strict=True):
                if name == LLAMA_CPP and llama is not None:
                    sample = llama.decode(request, reuse=prefix == "warm")
                else:
                    sample = timed(decoder, request)
                samples[name, prefix].append(sample)
    return [
        row(name, samples[name, prefix], prefix=prefix)
        for prefix in PREFIXES
        for name in contenders
        if samples[name, prefix]
    ]


def timed(decoder: BlockDecoder, request: DecodeRequest) -> Sample:
    """One answer by the clock."""
    began = time.perf_counter()
    result = decoder.decode(request)
    return Sample.of(result, 1e3 * (time.perf_counter() - began))
