"""Does tuning pay? Several repositories in place of teams': each tuned on its past and judged on its later commits.

Every repository goes through what `diffill finetune` does, one after the other, in a directory of its own; what is done
already is not done again.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from ..corpus.documents import write_beside
from ..evaluation.comparison import Estimate, Row, Verdict
from ..evaluation.gate import GateReport
from .plan import FinetuneConfig, plan
from .run import judge, train

REPORT_FILE = "teams.json"
LINES = "lines"

OnProgress = Callable[[dict[str, Any]], None]
Training = Callable[[str], AbstractContextManager[OnProgress]]
"""Name of a repository → around its training: what is called with the trainer's records."""
Judging = Callable[[int], AbstractContextManager[Callable[[Any], None]]]
"""Number of cases → around its gate: what is called with each."""


class TeamsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which repositories, and how they are tuned."""

    out: Path
    repositories: dict[str, Path]
    """Checkouts by name."""
    base: Path
    until: datetime.date = datetime.date(2025, 1, 1)
    """Commits from this day on only measure."""
    minutes: float = 45.0
    """Of training, for each repository."""
    epochs: int = 6
    rehearsal_share: float = 0.2
    """See `FinetuneConfig.rehearsal_share`."""
    line_cases: int = 300
    """Lines of later commits, which the goal is about."""
    gate_cases: int = 100
    """Of every other kind."""
    cases: Path | None = None
    """See `FinetuneConfig.cases`."""
    device: str = "cpu"
    processes: int | None = None
    """See `FinetuneConfig.processes`."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.repositories:
            raise ValueError("repositories: there is none")


class TeamResult(msgspec.Struct, frozen=True, kw_only=True):
    """One repository."""

    name: str
    verdict: Verdict | None
    minutes: float
    steps: int
    passed: list[Row]
    """By set of cases; `lines` is what the goal is about."""
    relative_gain: float | None
    """Of lines that come back, over those that do with the base alone; None where none does."""
    significant: bool
    """The whole interval of the difference in lines, at 95 %, lies above zero."""


class TeamsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form of `diffill eval teams`."""

    suite: str = "teams"
    results: list[TeamResult]
    mean_difference: Estimate
    """Of the shares of lines, each repository the same weight; the repositories' own intervals, put together."""
    mean_relative_gain: float | None
    significant: int
    device: str


def tune_teams(config: TeamsConfig, training: Training, judging: Judging) -> TeamsReport:
    """Tune and judge each; the report is written to `config.out` after every one of them.

    Raises:
        ValueError: a repository cannot be used, or its later commits hold no line to judge by; the line names it.
    """
    results: list[TeamResult] = []
    for name, repository in config.repositories.items():
        try:
            results.append(_tune(config, name, repository, training, judging))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        report = _report(config, results)
        write_beside(config.out / REPORT_FILE, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    return report


def _tune(config: TeamsConfig, name: str, repository: Path, training: Training, judging: Judging) -> TeamResult:
    found = plan(
        FinetuneConfig(
            repository=repository,
            base=config.base,
            until=config.until,
            minutes=config.minutes,
            epochs=config.epochs,
            rehearsal_share=config.rehearsal_share,
            cases=config.cases,
            device=config.device,
            processes=config.processes,
            seed=config.seed,
        )
    )
    out = config.out / name
    with training(name) as on_progress:
        trained = train(found, out, name, on_progress)
    if trained is None or trained.ended_early:
        raise ValueError("the run was ended early; the same command goes on")
    with contextlib.ExitStack() as bars:
        report = judge(
            found,
            out,
            trained.made,
            most=config.gate_cases,
            most_lines=config.line_cases,
            on_cases=lambda total: bars.enter_context(judging(total)),
        )
    return result_of(name, report, trained.made.metrics)


def result_of(name: str, report: GateReport, metrics: dict[str, Any]) -> TeamResult:
    """Raises ValueError when no line was judged."""
    passed = [row for row in report.rows if row.quantity == "passed" and row.difference is not None]
    lines = next((row for row in passed if row.measure == LINES), None)
    if lines is None or lines.before is None or lines.difference is None:
        raise ValueError("its later commits hold no line to judge by")
    return TeamResult(
        name=name,
        verdict=report.verdict,
        minutes=round(metrics["seconds"] / 60, 1),
        steps=metrics["steps"],
        passed=passed,
        relative_gain=lines.difference.value / lines.before.value if lines.before.value else None,
        significant=lines.difference.ci95[0] > 0,
    )


def _report(config: TeamsConfig, results: list[TeamResult]) -> TeamsReport:
    gains = [result.relative_gain for result in results]
    return TeamsReport(
        results=results,
        mean_difference=_mean([row.difference for result in results for row in result.passed if row.measure == LINES]),
        mean_relative_gain=None if None in gains else sum(filter(None, gains)) / len(gains),
        significant=sum(result.significant for result in results),
        device=config.device,
    )


def _mean(differences: list[Estimate | None]) -> Estimate:
    """Of independent estimates: the distances to the ends of their intervals add up in squares."""
    known = [difference for difference in differences if difference is not None]
    value = sum(one.value for one in known) / len(known)
    below, above = (sum((one.ci95[side] - one.value) ** 2 for one in known) ** 0.5 / len(known) for side in (0, 1))
    return Estimate(value=value, ci95=(value - below, value + above))
