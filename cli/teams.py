"""`diffill eval teams`: whether tuning on a repository of one's own pays, on several of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .case_bar import case_bar
from .options import json_option
from .problem import one_line

if TYPE_CHECKING:
    from diffill.training.finetune.teams import TeamsReport


@click.command()
@click.option("--config", "path", required=True, type=click.Path(path_type=Path), help="Which repositories, and how.")
@json_option
def teams(path: Path, as_json: bool) -> None:
    """Tune on each of several repositories up to a day, and judge on what came later.

    What is done already is not done again: ended early, the same command goes on.
    """
    import msgspec

    from diffill.training.config import read_config
    from diffill.training.finetune.teams import TeamsConfig, tune_teams

    from .training_bar import training_bar

    @contextlib.contextmanager
    def training(name: str) -> Iterator[Callable[[dict[str, Any]], None]]:
        click.echo(name, err=True)
        with training_bar() as show:
            yield show

    with one_line():
        report = tune_teams(read_config(path, TeamsConfig), training, case_bar)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print(report)


def _print(report: TeamsReport) -> None:
    from diffill.training.evaluation.wording import in_words

    for result in report.results:
        click.echo(f"{result.name}: {result.verdict}, {result.steps} steps in {result.minutes} minutes")
        for row in result.passed:
            if row.before is not None and row.difference is not None:
                figures = (in_words(row.before, "passed"), in_words(row.after, "passed"))
                difference = in_words(row.difference, "passed", signed=True)
                click.echo(f"    {row.measure:<24} n={row.n:<4} {figures[0]:>24} → {figures[1]:<24} {difference}")
    gain = "unknown" if report.mean_relative_gain is None else f"{report.mean_relative_gain:+.1%}"
    click.echo(
        f"lines: {in_words(report.mean_difference, 'passed', signed=True)} points on the mean, relative gain {gain}, "
        f"significant on {report.significant} of {len(report.results)}"
    )
