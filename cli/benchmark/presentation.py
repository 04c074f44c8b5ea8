"""A report as a table, as JSON and as a picture."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ..replace_file import write_whole
from .report import Report


def draw(report: Report, file: Path) -> None:
    """As PNG.

    Raises:
        click.UsageError: the file cannot be written.
    """
    from diffill.training.evaluation.charts import png

    from . import chart

    try:
        write_whole(file, png(chart.draw(report)))
    except OSError as error:
        raise click.UsageError(f"--plot: {file} cannot be written: {error.strerror}") from None


def write(report: Report, file: Path) -> None:
    """As JSON that people read too.

    Raises:
        click.UsageError: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise click.UsageError(f"--out: {file} cannot be written: {error.strerror}") from None


def print_table(report: Report) -> None:
    """To standard output."""
    rows = [msgspec.to_builtins(row) for row in report.rows]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=f"{report.suite}: {report.model.name} {report.model.hash} on {report.device}")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    console = Console()
    console.width = max(console.width, 130)
    console.print(table)
    for name, ratio in report.ratios.items():
        click.echo(f"{name.replace('_', ' ')}: {ratio:.2f}")
