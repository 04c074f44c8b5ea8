"""How likely a completion is to be right, from the model's own score."""

from __future__ import annotations

from math import exp

from .completion import Completion

# Logistic regression of "its first line is the one that was there" on the log-probability of the whole answer, over
# 224 completions in repositories that the model has not seen (`benchmarks.completion_quality`, seed 1; area under
# the curve 0.86, against 0.71 for the mean log-probability of a token). To be measured again for other weights.
_INTERCEPT = 1.60
_SLOPE = 0.986


def chance(completion: Completion) -> float:
    """The estimated probability, from 0 to 1."""
    total = completion.score * (completion.tokens + 1)  # the decision to stop is one more
    return 1 / (1 + exp(-(_INTERCEPT + _SLOPE * max(total, -500.0))))
