"""How likely a completion is to be right, from the model's own score."""

from __future__ import annotations

from math import exp

from .completion import Completion


def chance(completion: Completion) -> float:
    """The estimated probability, from 0 to 1."""
    return min(1.0, exp(completion.score))
