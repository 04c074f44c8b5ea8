"""How likely a completion is to be right, from the model's own score."""

from __future__ import annotations

from functools import cache
from math import exp
from pathlib import Path

import msgspec

from .completion import Completion

ESTIMATE_FILE = Path(__file__).with_name("confidence.json")


class Estimate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Logistic regression of "its first line is the one that was there" on the log-probability of the whole answer.

    Of the whole answer and not of a token on average: that tells right from wrong far better. Measured by
    `benchmarks.calibration`, to be measured again for other weights.
    """

    intercept: float
    slope: float
    model: str
    """Whose answers it was fitted on."""
    cases: int

    def chance(self, total: float) -> float:
        """The probability, from 0 to 1, for an answer of log-probability `total`."""
        return 1 / (1 + exp(-(self.intercept + self.slope * max(total, -500.0))))

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self)) + b"\n"


@cache
def shipped_estimate() -> Estimate:
    """The one for the weights that ship with the server."""
    return msgspec.json.decode(ESTIMATE_FILE.read_bytes(), type=Estimate)


def chance(completion: Completion) -> float:
    """The estimated probability, from 0 to 1."""
    return shipped_estimate().chance(completion.score * (completion.tokens + 1))  # the decision to stop is one more
