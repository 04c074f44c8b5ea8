"""Long answers, one stream and many at once: tokens a second after the prompts were read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from diffill.model.engine import BlockDecoder
from diffill.model.request import DecodeRequest, Mode, pack_ids, unpack_ids
from diffill.model.tokenizer import END_OF_TEXT

from .place import Place, in_turn
from .report import Row, Sample, row

Contender = Callable[[DecodeRequest], Sample]
"""Another program that answers one request, by the clock."""


def measure_throughput(
    batches: Iterable[list[Place]],
    modes: Sequence[Mode],
    sizes: Sequence[int],
    max_tokens: int,
    *,
    decoder: BlockDecoder,
    others: Mapping[str, Contender],
) -> list[Row]:
    """Every batch of places in every mode and size.

    The prompt is the code before the place as it stands: with no end to fill up to, answers are long.

    Args:
        batches: as many places as the largest size, each time.
        others: what answers one stream beside us.
    """
    runs: list[tuple[str, int]] = [(mode, size) for size in sizes for mode in modes]
    runs += [(name, 1) for name in others]
    samples: dict[tuple[str, int], list[Sample]] = {run: [] for run in runs}
    names = [f"{mode} {size}" for mode, size in runs]
    for index, places in enumerate(batches):
        prompts = [pack_ids([END_OF_TEXT, *unpack_ids(place.before)]) for place in places]
        for name in in_turn(names, index):
            mode, size = runs[names.index(name)]
            known = next((known for known in modes if known == mode), modes[0])
            requests = [DecodeRequest(prompt=prompt, mode=known, max_tokens=max_tokens) for prompt in prompts[:size]]
            if other := others.get(mode):
                samples[mode, size].append(other(requests[0]))
            else:
                samples[mode, size].append(timed_together(decoder, requests))
    return [row(mode, samples[mode, size], batch=size) for mode, size in runs]


def timed_together(decoder: BlockDecoder, requests: Sequence[DecodeRequest]) -> Sample:
    """All of them at once, their prompts read before the clock starts."""
    for request in requests:
        decoder.decode(DecodeRequest(prompt=request.prompt, max_tokens=0))
    steps = 0
    began = time.perf_counter()
    decodings = [decoder.begin(request) for request in requests]
    while waiting := [decoding for decoding in decodings if not decoding.over]:
        decoder.advance(waiting)
        steps += 1
    milliseconds = 1e3 * (time.perf_counter() - began)
    results = []
    for decoding in decodings:
        if decoding.result is None:
            raise decoding.error or RuntimeError("a decoding ended without a result")
        results.append(decoding.result)
    return Sample(
        tokens=sum(len(result.tokens) // 4 for result in results),
        forward_passes=sum(result.forward_passes for result in results),
        steps=steps,
        decode_ms=milliseconds,
        total_ms=milliseconds,
    )
