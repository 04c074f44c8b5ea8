"""Noisy blocks behind a clean stream: where they start, and the batch that they make with it.

Shapes: B rows, C clean tokens, N noisy tokens = K blocks of S tokens.
"""

from __future__ import annotations

import numpy as np
import torch

from diffill.model.masks import CLEAN, StreamLayout
from diffill.model.tokenizer import NUM_CONTROL_IDS

from .batch import Batch
from .clean_stream import CleanStream
from .packing import Rows


def block_starts(
    rows: Rows, count: int, size: int, *, middle_preference: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Where blocks start, the preferred first, and where a block can be learned from: short rows have too few places.

    Weighted sampling without replacement (Efraimidis and Spirakis 2006): the largest u ** (1 / weight) win.

    Args:
        middle_preference: how much likelier a block starts inside a middle than elsewhere; one always starts at the
            start of every middle.

    Returns:
        Indexes into the rows, and a flag for every token of them.  # [B, K], [B, C] bool
    """
    tokens, document, middle = rows.tokens, rows.document, rows.middle
    length = tokens.shape[1]
    control = (tokens < NUM_CONTROL_IDS) & ~middle
    blocked = np.cumsum(control | (document < 0), axis=1)
    ahead = np.minimum(np.arange(length) + size - 1, length - 1)
    before = np.concatenate([np.zeros_like(blocked[:, :1]), blocked[:, :-1]], axis=1)
    # Context blocks are whole and hold no control token; a block in a middle may run past its end, as in decoding.
    whole = np.arange(length) + size <= length
    context = (blocked[:, ahead] == before) & ~middle & ~middle[:, ahead] & (document[:, ahead] == document) & whole
    opens = middle & ~np.concatenate([np.zeros_like(middle[:, :1]), middle[:, :-1]], axis=1)
    weight = 1e-9 + context + middle_preference * middle + 1e6 * opens
    score = generator.random(tokens.shape) ** (1.0 / weight)
    start = np.argpartition(-score, count - 1, axis=1)[:, :count]
    preferred = np.take_along_axis(score, start, axis=1).argsort(axis=1)[:, ::-1]
    return np.take_along_axis(start, preferred, axis=1), context | middle


def with_blocks(
    stream: CleanStream, start: np.ndarray, noisy: np.ndarray, *, target: np.ndarray, weight: np.ndarray
) -> Batch:
    """The clean stream and, behind it, noisy blocks that stand in place of what follows in it.

    Args:
        start: where in the clean stream each block begins.  # [B, K]
        noisy, target, weight: of the blocks' tokens.  # [B, N]
    """
    size = noisy.shape[1] // start.shape[1]
    first = np.repeat(start, size, axis=1)
    inside = np.tile(np.arange(size), start.shape[1])
    block = np.broadcast_to(np.repeat(np.arange(start.shape[1]), size), noisy.shape)

    def both(clean: np.ndarray, blocks: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([clean, blocks], axis=1))

    return Batch(
        tokens=both(stream.tokens, noisy),
        positions=both(stream.position, np.take_along_axis(stream.position, first, axis=1) + inside),
        layout=StreamLayout(
            document=both(stream.document, np.take_along_axis(stream.document, first, axis=1)),
            block=both(np.full_like(stream.tokens, CLEAN), block),
            order=both(stream.index, first),
        ),
        target=both(stream.following, target),
        weight=both(stream.weight, weight).float(),
        clean_length=stream.tokens.shape[1],
    )
