"""Which tokens of a noisy block are hidden.

Shapes: B rows, K blocks a row, S tokens a block.
"""

from __future__ import annotations

import numpy as np


def masked_tokens(
    *,
    twin: np.ndarray,
    size: int,
    full_mask: float,
    ratio_limit: float,
    position_bias: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Where the mask goes; at least one token of every block.  # [B, K, S] bool

    Args:
        twin: the block hides what the one before it shows (complementary masks, arXiv 2509.26328).  # [B, K] bool
        full_mask: share of blocks that are masked whole, of those without a twin (arXiv 2511.08923).
        ratio_limit: the share of a block that is masked is drawn from (0, `ratio_limit`]: the warm-up of the corruption
            (arXiv 2601.15892).
        position_bias: share of a block over which a later token becomes twice as likely to be masked as an earlier one,
            when few are masked; the half-life of arXiv 2512.14067, 0 for none.
    """
    shape = (*twin.shape, size)
    has_twin = np.zeros_like(twin)
    has_twin[:, :-1] = twin[:, 1:]
    whole = (generator.random(twin.shape) < full_mask) & ~has_twin
    ratio = np.where(whole, 1.0, generator.random(twin.shape)) * ratio_limit
    # Clipped noise (arXiv 2601.15892): one token at least, or the block teaches nothing; one left for a twin.
    expected = ratio * size
    count = np.floor(expected + generator.random(twin.shape))
    count = np.clip(np.where(whole & (ratio_limit >= 1.0), size, count), 1, np.where(has_twin, size - 1, size))
    # Weighted sampling without replacement (Efraimidis and Spirakis 2006): the largest log(u) / weight are taken.
    doublings = np.arange(size) / (position_bias * size) if position_bias else np.zeros(size)
    weight = 2.0 ** ((1.0 - ratio)[:, :, None] * doublings)
    key = np.log(1.0 - generator.random(shape)) / weight
    rank = (-key).argsort(axis=2).argsort(axis=2)
    masked: np.ndarray = rank < count[:, :, None]
    masked[:, 1:] = np.where(twin[:, 1:, None], ~masked[:, :-1], masked[:, 1:])
    return masked


def twins(start: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Let the less preferred half of the blocks repeat the other half's places, each with chance `share`.

    Args:
        start: places of the blocks, the preferred ones first.  # [B, K]

    Returns:
        The places with twins.  # [B, K]
    """
    half = start.shape[1] // 2
    repeated = generator.random((len(start), half)) < share
    second = np.where(repeated, start[:, :half], start[:, half : 2 * half])
    return np.concatenate([start[:, :half], second, start[:, 2 * half :]], axis=1)
