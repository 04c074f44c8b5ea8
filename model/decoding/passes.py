"""Passes of one sequence or of several: a prompt read in pieces, and sequences that go on side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from torch import Tensor

from ..cache import KVCache
from ..network import PREFILL_TOKENS, Part
from .answer import Passes, Snapshot


def prefill(cache: KVCache, tokens: Sequence[int]) -> Passes[None]:
    """Read tokens, a piece a pass."""
    for at in range(0, len(tokens), PREFILL_TOKENS):
        piece = tokens[at : at + PREFILL_TOKENS]
        yield Part(cache, piece)
        cache.keep(piece)


def together(
    sequences: Sequence[Passes[None]], show: Callable[[Snapshot], None] = lambda snapshot: None
) -> Generator[list[Part], list[Tensor], None]:
    """Let sequences go on side by side: each step takes the next part of all that are not finished."""
    waiting = [(sequence, part) for sequence in sequences if (part := _next_part(sequence, show))]
    while waiting:
        states = yield [part for _, part in waiting]
        waiting = [
            (sequence, part)
            for (sequence, _), own in zip(waiting, states, strict=True)
            if (part := _next_part(sequence, show, own))
        ]


def _next_part(sequence: Passes[None], show: Callable[[Snapshot], None], states: Tensor | None = None) -> Part | None:
    """Hand over the states and pass snapshots on, up to the next part or the end."""
    try:
        item = next(sequence) if states is None else sequence.send(states)
        while isinstance(item, Snapshot):
            show(item)
            item = next(sequence)
    except StopIteration:
        return None
    return item
