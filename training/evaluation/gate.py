"""The gate: the same measurements of a checkpoint before and after a stage, and whether it may replace the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from diffill.model.checkpoint import checkpoint_hash
from diffill.model.config import ModelConfig
from diffill.model.decoder_loading import load_decoder
from diffill.model.decoding_turn import Decoder
from diffill.model.request import Mode, ModelInfo
from diffill.model.tokenizer import Tokenizer
from diffill.model.wire import build

from .. import diagnostics, syntax
from .comparison import ALL, SPEED, TIME, Row, Rule, Sample, Verdict, compare_samples, forgive_speed, rule_in_words
from .held_out import RowLoss, held_out_losses
from .judgement import Judgement
from .ledger import Ledger, fingerprint
from .measures import Measure, MeasureConfig, measures

AGAINST_FULL = "against full precision"


class GateConfig(MeasureConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gate. Judged cases are kept below `out`, by weights, decoding settings, code and case."""

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

    def __init__(
        self,
        config: GateConfig,
        extra: Sequence[Measure] = (),
        *,
        samples: Callable[[Measured, Rule], Iterator[Sample]] | None = None,
    ) -> None:
        """
        Args:
            extra: measures besides those of the configuration.
            samples: which quantities are compared, and which of them decide; `samples_of` by default.
        """
        self.config = config
        self.measures = [*extra, *measures(config, limit=config.limit, seed=config.seed)]
        self._samples = samples or samples_of
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
        adapter: Path | None = None,
        modes: Sequence[Mode] | None = None,
        on_case: Callable[[Any], None] = lambda result: None,
    ) -> Measured:
        """Every measure of one checkpoint; what was judged before is read, not decoded again.

        Raises:
            ValueError: the checkpoint or the adapter is missing or broken.
        """
        config = self.config
        decoder = load_decoder(checkpoint=checkpoint, device=config.device, adapter=adapter)
        tokenizer = Tokenizer.load(checkpoint)
        kept = config.out / "judged" / _identity(checkpoint, decoder.info)
        losses: list[RowLoss] = []
        if config.rows is not None:
            with Ledger(kept / "held-out-losses.jsonl", RowLoss) as ledger:
                losses = held_out_losses(
                    checkpoint, config.rows, ledger, count=config.rows_limit, device=config.device, adapter=adapter,
                    on_case=on_case,
                )  # fmt: skip
        judgements = {
            (measure.name, mode): _judge(measure, mode, decoder, tokenizer, kept, on_case)
            for mode in modes or config.modes
            for measure in self.measures
        }
        return Measured(info=decoder.info, losses=losses, judgements=judgements)

    def compare(self, after: Measured, before: Measured | None, unquantised: Measured | None) -> GateReport:
        """Rows, and what the rule says of them."""
        rule, seed = self.config.rule, self.config.seed
        samples = list(self._samples(after, rule))
        olds = {sample.key: sample for sample in self._samples(before, rule)} if before else {}
        guarded = sum(sample.tolerance is not None for sample in samples)
        rows = forgive_speed([compare_samples(sample, olds.get(sample.key), rule, guarded, seed) for sample in samples])
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
            rule_in_words=rule_in_words(rule, guarded),
            guarded_rows=guarded,
            device=after.info.device,
            seed=seed,
        )

    def _quantisation(self, samples: Sequence[Sample], unquantised: Measured) -> Iterator[Row]:
        """What storing the weights in fewer bits costs: the losses, and all cases of the default mode."""
        wanted = {("held-out loss", None, "causal"), (ALL, self.config.default_mode, "passed")}
        before = {sample.key: sample for sample in self._samples(unquantised, self.config.rule)}
        for sample in samples:
            if sample.key in wanted & before.keys():
                row = compare_samples(sample, before[sample.key], self.config.rule, 1, self.config.seed)
                verdict: Verdict = "worse" if row.verdict == "worse" else "same"  # fewer bits are no merit
                yield msgspec.structs.replace(row, measure=f"{row.measure}, {AGAINST_FULL}", verdict=verdict)


def _identity(checkpoint: Path, info: ModelInfo) -> str:
    """Weights, all of `config.json` that shapes an answer (its name does not), and the code that answers and judges."""
    settings = {name: value for name, value in vars(ModelConfig.load(checkpoint)).items() if name != "name"}
    return (
        f"{checkpoint_hash(checkpoint)}-{fingerprint(settings, info.adapter, info.device, build(), _judging_build())}"
    )


def _judging_build() -> str:
    """Digest of what judges: this package's sources, and the tools that they ask."""
    sources = [*sorted(Path(__file__).parent.glob("*")), *map(Path, (diagnostics.__file__, syntax.__file__))]
    texts = [path.read_text("utf-8") for path in sources if path.suffix in (".py", ".js")]
    return fingerprint(texts, version("ruff"), version("torch"))


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


def samples_of(measured: Measured, rule: Rule) -> Iterator[Sample]:
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
            yield time_sample(name, mode, judged)


def time_sample(name: str, mode: Mode, judged: Sequence[Judgement]) -> Sample:
    """Shown, and never decides: the machine may have been busy with something else."""
    return Sample(
        measure=name, mode=mode, quantity=TIME, numerators=[one.milliseconds for one in judged],
        denominators=[1.0] * len(judged), tolerance=None, higher_is_better=False,
    )  # fmt: skip
