"""Intervals for measured rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000
DRAWS_AT_ONCE = 1_000_000


def bootstrap_interval(outcomes: Sequence[float], *, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `outcomes`, where booleans count as 0 and 1. Same seed, same answer.

    Raises:
        ValueError: `outcomes` is empty, or `level` is not strictly between 0 and 1.
    """
    return percentile_interval(resample(outcomes, [1.0] * len(outcomes), seed=seed), level=level)


def resample(numerators: Sequence[float], denominators: Sequence[float], *, seed: int) -> np.ndarray:
    """`sum(numerators) / sum(denominators)` over cases drawn with replacement, so many times.

    Which cases are drawn depends on their number and the seed alone: two samples over the same cases are paired, and
    their difference is a sample of the paired difference.  # [RESAMPLES]

    Raises:
        ValueError: there are no cases.
    """
    if not numerators:
        raise ValueError("outcomes: nothing to take an interval of")
    above, below = (np.asarray(values, dtype=np.float64) for values in (numerators, denominators))
    generator = np.random.default_rng(seed)
    ratios = []
    for at in range(0, RESAMPLES, step := max(1, DRAWS_AT_ONCE // above.size)):
        drawn = generator.integers(above.size, size=(min(step, RESAMPLES - at), above.size))
        ratios.append(above[drawn].sum(axis=1) / np.maximum(below[drawn].sum(axis=1), 1e-9))
    return np.concatenate(ratios)


def percentile_interval(sample: np.ndarray, *, level: float = 0.95) -> tuple[float, float]:
    """The middle `level` of a sample.

    Raises:
        ValueError: `level` is not strictly between 0 and 1.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: {level} is not between 0 and 1")
    low, high = np.quantile(sample, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
