"""`diffill corpus fetch-edits`, `edits` and `faults`: edit pairs to train on, and repairs to measure with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option
from .problem import one_line

if TYPE_CHECKING:
    from diffill.training.edits.merge import BuildReport


config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="What is made, and from what."
)


@click.command()
@config_option
def fetch_edits(path: Path) -> None:
    """Download the releases and histories that are missing; nothing is installed."""
    from diffill.training.config import read_config
    from diffill.training.edits.build import BuildConfig
    from diffill.training.edits.fetch import fetch_sources

    with one_line(), _bar() as show:
        problems = fetch_sources(read_config(path, BuildConfig), on_progress=show)
    for problem in problems:
        click.echo(f"diffill: {problem}", err=True)
    if problems:
        raise click.ClickException(f"{len(problems)} sources could not be fetched; the others are there")


@click.command()
@config_option
@json_option
def edits(path: Path, as_json: bool) -> None:
    """Build edit pairs from histories, releases and the corpus; a stopped run goes on."""
    import msgspec

    from diffill.training.config import read_config
    from diffill.training.edits.build import BuildConfig, build

    with one_line(), _bar() as show:
        report = build(read_config(path, BuildConfig), on_progress=show)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        _print_report(report)


@click.command()
@config_option
@json_option
def faults(path: Path, as_json: bool) -> None:
    """Put one fault into each of many held-out files.

    `diffill eval repair` measures with them.
    """
    import msgspec

    from diffill.training.config import read_config
    from diffill.training.edits.fault_set import FaultSetConfig, make_fault_set

    with one_line(), _bar() as show:
        report = make_fault_set(read_config(path, FaultSetConfig), on_progress=show)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo(f"{report.cases} cases, {report.with_diagnostic} with a diagnostic", err=True)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _print_report(report: BuildReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(stderr=True)
    for title, counts in (
        ("pairs", report.kinds),
        ("language", report.languages),
        ("fault", report.faults),
        ("must stay", report.no_ops),
        ("refused", report.refused),
    ):
        table = Table(title, "count")
        for name, count in counts.items():
            table.add_row(name, f"{count:,}")
        console.print(table)
    console.print(f"{report.pairs:,} pairs")
