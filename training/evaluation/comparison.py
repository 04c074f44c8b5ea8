"""One figure of two checkpoints, compared on the same cases.

The rule. Every guarded row compares the two checkpoints on the same cases by a paired bootstrap, at a confidence that
is corrected for the number of rows (Bonferroni). A row is *worse* when the whole interval of its difference lies beyond
the tolerance on the wrong side, *better* when it lies beyond zero on the right one. A checkpoint is refused when any
row is worse; it is called better when none is worse and some row is better. Everything else is "no difference found".
Fewer tokens per forward are not held against a mode that passes more cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from diffill.model.request import Mode

from .statistics import percentile_interval, resample

Verdict = Literal["better", "same", "worse"]
ALL = "all cases"
SPEED = "tokens per forward"
TIME = "ms an answer"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much worse a row may be before it counts."""

    level: float = 0.95
    """Confidence over all guarded rows together."""
    loss: float = 0.01
    """Nats per token."""
    rate: float = 0.01
    tokens_per_forward: float = 0.05


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    value: float
    ci95: tuple[float, float]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, before and after."""

    measure: str
    mode: Mode | None
    quantity: str
    n: int
    guarded: bool
    """Whether the row decides; the others are there to be read."""
    after: Estimate
    before: Estimate | None = None
    difference: Estimate | None = None
    """After minus before, paired by case."""
    decided_by: tuple[float, float] | None = None
    """The interval of the difference at the corrected confidence, where the row decides."""
    verdict: Verdict | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One quantity over cases: sum of `numerators` over sum of `denominators`."""

    measure: str
    mode: Mode | None
    quantity: str
    numerators: Sequence[float]
    denominators: Sequence[float]
    tolerance: float | None
    """None: shown, but does not decide."""
    higher_is_better: bool = True

    @property
    def key(self) -> tuple[str, Mode | None, str]:
        return self.measure, self.mode, self.quantity


def rule_in_words(rule: Rule, guarded: int) -> str:
    return (
        f"Refused when any of {guarded} rows is worse by more than {rule.rate:.1%} of the cases, {rule.loss} nats or "
        f"{rule.tokens_per_forward} tokens per forward, with {rule.level:.0%} confidence over all rows together "
        "(paired bootstrap, Bonferroni); better when none is and one is better by more than nothing."
    )


def compare_samples(after: Sample, before: Sample | None, rule: Rule, guarded: int, seed: int) -> Row:
    new, drawn_new = _estimate(after, seed)
    row = Row(
        measure=after.measure, mode=after.mode, quantity=after.quantity, n=len(after.numerators),
        guarded=after.tolerance is not None, after=new,
    )  # fmt: skip
    if before is None:
        return row
    old, drawn_old = _estimate(before, seed)
    difference = drawn_new - drawn_old  # the same cases were drawn for both
    row = msgspec.structs.replace(
        row,
        before=old,
        difference=Estimate(value=new.value - old.value, ci95=percentile_interval(difference)),
    )
    if after.tolerance is None:
        return row
    low, high = percentile_interval(difference, level=1 - (1 - rule.level) / guarded)
    worst, best = (high, low) if after.higher_is_better else (-low, -high)
    verdict: Verdict = "worse" if worst < -after.tolerance else "better" if best > 0 else "same"
    return msgspec.structs.replace(row, decided_by=(low, high), verdict=verdict)


def forgive_speed(rows: Sequence[Row]) -> list[Row]:
    """A mode that passes more cases may take more passes for them."""
    improved = {(row.measure, row.mode) for row in rows if (row.quantity, row.verdict) == ("passed", "better")}
    return [
        msgspec.structs.replace(row, verdict="same")
        if row.quantity == SPEED and row.verdict == "worse" and (row.measure, row.mode) in improved
        else row
        for row in rows
    ]


def _estimate(sample: Sample, seed: int) -> tuple[Estimate, np.ndarray]:
    drawn = resample(sample.numerators, sample.denominators, seed=seed)
    value = sum(sample.numerators) / max(sum(sample.denominators), 1e-9)
    return Estimate(value=value, ci95=percentile_interval(drawn)), drawn
