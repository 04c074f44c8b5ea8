"""The gate: the same measurements of a checkpoint before and after a stage, and whether it may replace the other.

The rule. Every guarded row compares the two checkpoints on the same cases by a paired bootstrap, at a confidence that
is corrected for the number of rows (Bonferroni). A row is *worse* when the whole interval of its difference lies beyond
the tolerance on the wrong side, *better* when it lies beyond zero on the right one. A checkpoint is refused when any
row is worse; it is called better when none is worse and some row is better. Everything else is "no difference found".
Fewer tokens per forward are not held against a mode that passes more cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from diffill.model.checkpoint import checkpoint_hash
from diffill.model.config import ModelConfig
from diffill.model.engine import load_decoder
from diffill.model.request import Decoder, Mode, ModelInfo
from diffill.model.tokenizer import Tokenizer

from .held_out import RowLoss, held_out_losses
from .judgement import Judgement
from .ledger import Ledger, fingerprint
from .measures import Measure, MeasureConfig, measures
from .statistics import percentile_interval, resample

Verdict = Literal["better", "same", "worse"]
ALL = "all cases"
AGAINST_FULL = "against full precision"
SPEED = "tokens per forward"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much worse a row may be before it counts."""

    level: float = 0.95
    """Confidence over all guarded rows together."""
    loss: float = 0.01
    """Nats per token."""
    rate: float = 0.01
    tokens_per_forward: float = 0.05


class GateConfig(MeasureConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate. Judged cases are kept below `out`, by weights, decoding settings and case."""

    out: Path
    rows: Path | None = None
    """Held-out packed rows; no losses without."""
    rows_limit: int = 64
    modes: tuple[Mode, ...] = ("ar", "verify", "diffusion")
    default_mode: Mode = "verify"
    """The mode in which quantisation is checked."""
    device: str = "auto"
    limit: int | None = None
    """Caps every set of cases."""
    seed: int = 0
    rule: Rule = Rule()


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


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form of `diffill eval gate`."""

    suite: str = "gate"
    verdict: Verdict | None
    """None when there was nothing to compare with."""
    reasons: list[str]
    rows: list[Row]
    after: ModelInfo
    before: ModelInfo | None
    unquantised: ModelInfo | None
    rule: Rule
    rule_in_words: str
    guarded_rows: int
    device: str
    seed: int


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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One checkpoint, measured."""

    info: ModelInfo
    losses: list[RowLoss]
    judgements: dict[tuple[str, Mode], list[Judgement]]


class Gate:
    """Measures checkpoints for one configuration.

    Raises:
        ValueError: cases or rows cannot be read.
    """

    def __init__(self, config: GateConfig) -> None:
        self.config = config
        self.measures = measures(config, limit=config.limit, seed=config.seed)
        if not self.measures and config.rows is None:
            raise ValueError("config: there is nothing to measure: no infilling, holes, repair or rows")

    def cases(self, modes: Sequence[Mode] | None = None) -> int:
        """What one checkpoint takes, at most: cases in these modes (all by default), and rows."""
        decoded = len(modes or self.config.modes) * sum(len(measure.cases) for measure in self.measures)
        return decoded + (self.config.rows_limit if self.config.rows else 0)

    def measure(
        self,
        checkpoint: Path,
        *,
        modes: Sequence[Mode] | None = None,
        on_case: Callable[[Any], None] = lambda result: None,
    ) -> Measured:
        """Every measure of one checkpoint; what was judged before is read, not decoded again.

        Raises:
            ValueError: the checkpoint is missing or broken.
        """
        config = self.config
        decoder = load_decoder(checkpoint=checkpoint, device=config.device)
        tokenizer = Tokenizer.load(checkpoint)
        kept = config.out / "judged" / _identity(checkpoint, decoder.info)
        losses: list[RowLoss] = []
        if config.rows is not None:
            with Ledger(kept / "held-out-losses.jsonl", RowLoss) as ledger:
                losses = held_out_losses(
                    checkpoint, config.rows, ledger, count=config.rows_limit, device=config.device, on_case=on_case
                )
        judgements = {
            (measure.name, mode): _judge(measure, mode, decoder, tokenizer, kept, on_case)
            for mode in modes or config.modes
            for measure in self.measures
        }
        return Measured(info=decoder.info, losses=losses, judgements=judgements)

    def compare(self, after: Measured, before: Measured | None, unquantised: Measured | None) -> GateReport:
        """Rows, and what the rule says of them."""
        rule, seed = self.config.rule, self.config.seed
        samples = list(_samples(after, rule))
        olds = {_key(sample): sample for sample in _samples(before, rule)} if before else {}
        guarded = sum(sample.tolerance is not None for sample in samples)
        rows = _forgive_speed([_row(sample, olds.get(_key(sample)), rule, guarded, seed) for sample in samples])
        if unquantised is not None:
            rows += self._quantisation(samples, unquantised)
        worse, better = (
            [", ".join(filter(None, (row.measure, row.mode, row.quantity))) for row in rows if row.verdict == word]
            for word in ("worse", "better")
        )
        compared = before is not None or unquantised is not None
        return GateReport(
            verdict=("worse" if worse else "better" if better else "same") if compared else None,
            reasons=worse or better,
            rows=rows,
            after=after.info,
            before=before.info if before else None,
            unquantised=unquantised.info if unquantised else None,
            rule=rule,
            rule_in_words=_in_words(rule, guarded),
            guarded_rows=guarded,
            device=after.info.device,
            seed=seed,
        )

    def _quantisation(self, samples: Sequence[Sample], unquantised: Measured) -> Iterator[Row]:
        """What storing the weights in fewer bits costs: the losses, and all cases of the default mode."""
        wanted = {("held-out loss", None, "causal"), (ALL, self.config.default_mode, "passed")}
        before = {_key(sample): sample for sample in _samples(unquantised, self.config.rule)}
        for sample in samples:
            if _key(sample) in wanted & before.keys():
                row = _row(sample, before[_key(sample)], self.config.rule, 1, self.config.seed)
                yield msgspec.structs.replace(row, measure=f"{row.measure}, {AGAINST_FULL}")


def _in_words(rule: Rule, guarded: int) -> str:
    return (
        f"Refused when any of {guarded} rows is worse by more than {rule.rate:.1%} of the cases, {rule.loss} nats or "
        f"{rule.tokens_per_forward} tokens per forward, with {rule.level:.0%} confidence over all rows together "
        "(paired bootstrap, Bonferroni); better when none is and one is better by more than nothing."
    )


def _identity(checkpoint: Path, info: ModelInfo) -> str:
    """Weights and everything of `config.json` that shapes an answer, its name aside."""
    settings = {name: value for name, value in vars(ModelConfig.load(checkpoint)).items() if name != "name"}
    return f"{checkpoint_hash(checkpoint)}-{fingerprint(settings, info.device)}"


def _judge(
    measure: Measure,
    mode: Mode,
    decoder: Decoder,
    tokenizer: Tokenizer,
    kept: Path,
    on_case: Callable[[Any], None],
) -> list[Judgement]:
    judged = []
    with Ledger(kept / f"{measure.name.replace(' ', '-')}.{mode}.jsonl", Judgement) as ledger:
        for case in measure.cases:
            name = measure.fingerprint(case)
            known = ledger.results.get(name)
            judged.append(known or ledger.add(name, measure.judge(case, decoder, tokenizer, mode)))
            on_case(judged[-1])
    return judged


def _samples(measured: Measured, rule: Rule) -> Iterator[Sample]:
    """The quantities of one checkpoint, in the order of the report."""
    for name in ("causal", "denoising") if measured.losses else ():
        values = [getattr(loss, name) for loss in measured.losses]
        yield Sample(
            measure="held-out loss", mode=None, quantity=name, numerators=values,
            denominators=[1.0] * len(values), tolerance=rule.loss, higher_is_better=False,
        )  # fmt: skip
    for mode in dict.fromkeys(mode for _, mode in measured.judgements):
        sets = {name: judged for (name, of), judged in measured.judgements.items() if of == mode}
        together = [one for judged in sets.values() for one in judged]
        for name, judged in {ALL: together, **sets}.items():
            ones = [1.0] * len(judged)
            yield Sample(
                measure=name, mode=mode, quantity="passed", numerators=[one.passed for one in judged],
                denominators=ones, tolerance=rule.rate,
            )  # fmt: skip
            yield Sample(
                measure=name, mode=mode, quantity="exact", numerators=[one.exact for one in judged],
                denominators=ones, tolerance=None,
            )  # fmt: skip
            yield Sample(
                measure=name, mode=mode, quantity=SPEED, numerators=[one.tokens for one in judged],
                denominators=[one.forward_passes for one in judged],
                tolerance=rule.tokens_per_forward if name == ALL and mode != "ar" else None,
            )  # fmt: skip


def _key(sample: Sample) -> tuple[str, Mode | None, str]:
    return sample.measure, sample.mode, sample.quantity


def _row(after: Sample, before: Sample | None, rule: Rule, guarded: int, seed: int) -> Row:
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


def _forgive_speed(rows: Sequence[Row]) -> list[Row]:
    """A mode that passes more cases may take more passes for them."""
    improved = {row.mode for row in rows if (row.measure, row.quantity, row.verdict) == (ALL, "passed", "better")}
    return [
        msgspec.structs.replace(row, verdict="same")
        if row.quantity == SPEED and row.verdict == "worse" and row.mode in improved
        else row
        for row in rows
    ]


def _estimate(sample: Sample, seed: int) -> tuple[Estimate, np.ndarray]:
    drawn = resample(sample.numerators, sample.denominators, seed=seed)
    value = sum(sample.numerators) / max(sum(sample.denominators), 1e-9)
    return Estimate(value=value, ci95=percentile_interval(drawn)), drawn
