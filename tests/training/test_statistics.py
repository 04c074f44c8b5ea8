from __future__ import annotations

import pytest

from diffill.training.evaluation.statistics import bootstrap_interval


def test_the_interval_of_a_rate_is_close_to_the_normal_one() -> None:
    low, high = bootstrap_interval([True] * 200 + [False] * 200, seed=0)
    # The standard error of one half over 400 is 0.025; the 95 % interval is 1.96 of them to each side.
    assert low == pytest.approx(0.5 - 0.049, abs=0.004)
    assert high == pytest.approx(0.5 + 0.049, abs=0.004)


def test_same_seed_same_interval() -> None:
    outcomes = [True, False, True, True, False, True, True]
    assert bootstrap_interval(outcomes, seed=3) == bootstrap_interval(outcomes, seed=3)


def test_a_lower_level_is_narrower() -> None:
    outcomes = [0.1 * index for index in range(50)]
    wide, narrow = (bootstrap_interval(outcomes, seed=0, level=level) for level in (0.95, 0.5))
    assert wide[0] < narrow[0] < 2.45 < narrow[1] < wide[1]


def test_nothing_varies() -> None:
    assert bootstrap_interval([True, True], seed=0) == (1.0, 1.0)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="outcomes"):
        bootstrap_interval([], seed=0)
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([True], seed=0, level=1.0)
