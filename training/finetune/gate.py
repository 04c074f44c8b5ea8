"""The gate of an adapter: the base with it against the base alone, on later commits and on code of others.

It is *better* when more of the later commits' cases pass with it, by a paired bootstrap, and nothing else is worse: the
public cases by more than one point of a hundred, or tokens per forward. Losses, single sets and times are only shown:
a loss may fall while fewer lines come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from diffill.model.adapter_manifest import Figure, GateResult
from diffill.model.request import Mode

from ..corpus.documents import write_beside
from ..evaluation.comparison import ALL, SPEED, Rule, Sample
from ..evaluation.gate import Gate, GateConfig, GateReport, Measured, samples_of
from ..evaluation.judgement import Judgement
from ..evaluation.page import write_report
from ..trainer import METRICS_FILE
from .cases import later_measures, public_measures
from .plan import Plan

MODE: Mode = "verify"
"""Equals `ar` token for token, so that one of the two is measured."""
LATER, PUBLIC = "later commits", "public cases"
GATE_FILE = "gate.json"
RULE = Rule()


class NothingToJudgeBy(ValueError):
    """The later commits hold no case."""


def judge_package(
    plan: Plan,
    package: Path,
    work: Path,
    *,
    most: int,
    most_lines: int | None = None,
    on_cases: Callable[[int], Callable[[Any], None]] = lambda total: lambda result: None,
) -> GateReport:
    """Measure both, compare, and write `gate.json`, `report.html` and `report.png` into `work` and into the package.

    Args:
        package: an adapter, or the checkpoint of a full run.
        work: keeps what was judged: ended early, it goes on.
        most: cases of each kind.
        most_lines: of lines, if more of them.
        on_cases: is told how many cases there are, and returns what is called with each.

    Raises:
        NothingToJudgeBy: the later commits hold no case.
        ValueError: a task file cannot be read, or the adapter does not fit.
    """
    config = plan.config
    later = later_measures(plan, most, most_lines)
    if not later:
        raise NothingToJudgeBy("REPO: its later commits hold nothing to judge by; an earlier --until leaves more")
    rows = work / "rows" / "held-out"
    gate = Gate(
        GateConfig(
            out=work,
            rows=rows if rows.exists() else None,
            rows_limit=config.judged_rows,  # losses do not decide, and take longer than all cases
            modes=(MODE,),
            device=config.device,
            rule=RULE,
        ),
        [*later, *public_measures(config.cases, most, config.seed)],
        samples=grouped_samples([measure.name for measure in later]),
    )
    show = on_cases(2 * gate.cases())
    before = gate.measure(config.base, on_case=show)
    tuned, adapter = (package, None) if config.full else (config.base, package)
    report = verdict_of(gate.compare(gate.measure(tuned, adapter=adapter, on_case=show), before, None))
    write_beside(work / GATE_FILE, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    metrics = [path] if (path := work / METRICS_FILE).exists() else []
    title = f"Diffill: {report.after.adapter or report.after.name} on the later commits of {plan.repository.name}"
    for written in [
        work / GATE_FILE,
        *write_report(work, gate=work / GATE_FILE, sweep=None, metrics=metrics, title=title),
    ]:
        write_beside(package / written.name, written.read_bytes())
    return report


def verdict_of(report: GateReport) -> GateReport:
    """Only what later commits say makes an adapter better."""
    gained = [row for row in report.rows if (row.measure, row.quantity, row.verdict) == (LATER, "passed", "better")]
    if report.verdict == "better" and not gained:
        return msgspec.structs.replace(report, verdict="same", reasons=[])
    return report


def result_of(report: GateReport) -> GateResult:
    """What the manifest keeps of a report."""
    assert report.verdict is not None, "there was something to compare with"
    return GateResult(
        verdict=report.verdict,
        reasons=tuple(report.reasons),
        passed={
            row.measure: Figure(
                n=row.n, before=row.before.value, after=row.after.value, difference_ci95=row.difference.ci95
            )
            for row in report.rows
            if row.quantity == "passed" and row.before is not None and row.difference is not None
        },
    )


def grouped_samples(later: Sequence[str]) -> Callable[[Measured, Rule], Iterator[Sample]]:
    """Two groups of measures decide, as wholes: with few cases, each set alone would show nothing.

    Args:
        later: names of the measures of later commits; the others are public cases.
    """

    def samples(measured: Measured, rule: Rule) -> Iterator[Sample]:
        sets = {name: judged for (name, _), judged in measured.judgements.items()}
        groups: dict[str, list[Judgement]] = {LATER: [], PUBLIC: []}
        for name, judged in sets.items():
            groups[LATER if name in later else PUBLIC] += judged
        judgements = {(name, MODE): judged for name, judged in (groups | sets).items() if judged}
        tolerances = {
            (LATER, "passed"): rule.rate,
            (PUBLIC, "passed"): rule.rate,
            (LATER, SPEED): rule.tokens_per_forward,
        }
        for sample in samples_of(replace(measured, judgements=judgements), rule):
            if sample.measure != ALL:  # it would weigh the groups by their numbers of cases
                yield replace(sample, tolerance=tolerances.get((sample.measure, sample.quantity)))

    return samples
