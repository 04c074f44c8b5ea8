"""Intervals for measured rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def bootstrap_interval(outcomes: Sequence[float], *, seed: int, level: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `outcomes`, where booleans count as 0 and 1. Same seed, same answer.

    Raises:
        ValueError: `outcomes` is empty, or `level` is not strictly between 0 and 1.
    """
    if not outcomes:
        raise ValueError("outcomes: nothing to take an interval of")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: {level} is not between 0 and 1")
    values = np.asarray(outcomes, dtype=np.float64)
    generator = np.random.default_rng(seed)
    means = [values[generator.integers(values.size, size=values.size)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
