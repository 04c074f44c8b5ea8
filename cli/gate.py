"""`diffill eval gate`, `sweep` and `report`: may these weights replace those, how do they decode best, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .case_bar import case_bar
from .options import checkpoint_option, engine_settings, json_option

if TYPE_CHECKING:
    from diffill.model.request import Mode
    from diffill.training.evaluation.gate import GateReport
    from diffill.training.evaluation.sweep import SweepReport

TABLE_WIDTH = 160
directory = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.option("--checkpoint", required=True, metavar="NEW", type=directory, help="Weights that want to be landed.")
@click.option("--against", metavar="OLD", type=directory, help="Weights to compare with.")
@click.option("--unquantised", metavar="DIR", type=directory, help="The same weights as NEW in full precision.")
@click.option("--config", "path", required=True, type=click.Path(path_type=Path), help="What is measured, and how.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N cases of every set.")
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the judged cases and of gate.json.")
@json_option
@click.pass_context
def gate(
    context: click.Context,
    checkpoint: Path,
    against: Path | None,
    unquantised: Path | None,
    path: Path,
    limit: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure NEW; exit code 1 when it is worse than OLD.

    Judged cases are kept: a gate that was ended goes on where it stopped, and OLD is measured once. The rule is stated
    in `diffill.training.evaluation.comparison` and printed with the verdict.
    """
    import msgspec

    from diffill.training.config import read_config
    from diffill.training.evaluation.gate import Gate, GateConfig

    try:
        config = read_config(path, GateConfig)
        changes = {"limit": limit or config.limit, "out": out or config.out}
        guard = Gate(msgspec.structs.replace(config, **changes))
        wanted: list[tuple[Path, Sequence[Mode]]] = [(checkpoint, config.modes)]
        wanted += [(against, config.modes)] if against else []
        wanted += [(unquantised, [config.default_mode])] if unquantised else []
        with case_bar(sum(guard.cases(modes) for _, modes in wanted)) as show:
            after, *others = [guard.measure(weights, modes=modes, on_case=show) for weights, modes in wanted]
        before = others.pop(0) if against else None
        report = guard.compare(after, before, others.pop(0) if unquantised else None)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    data = msgspec.json.encode(report)
    beside = guard.config.out / "gate.json.part"
    beside.write_bytes(msgspec.json.format(data, indent=2) + b"\n")
    beside.replace(guard.config.out / "gate.json")
    if as_json:
        click.echo(data)
    else:
        print_gate(report)
    context.exit(1 if report.verdict == "worse" else 0)


@click.command()
@checkpoint_option
@click.option("--config", "path", required=True, type=click.Path(path_type=Path), help="Settings to try, and on what.")
@click.option("--n", "count", type=click.IntRange(min=1), metavar="N", help="Holes, in place of the config's.")
@click.option("--write", is_flag=True, help="Write the best settings into the checkpoint's config.json.")
@json_option
def sweep(checkpoint: Path | None, path: Path, count: int | None, write: bool, as_json: bool) -> None:
    """Find the decoding settings that suit a checkpoint.

    On held-out files, never on a benchmark.
    """
    import msgspec

    from diffill.training.config import read_config
    from diffill.training.evaluation.sweep import SweepConfig, Sweeper, write_settings

    from .complete import load_tokenizer

    try:
        config = read_config(path, SweepConfig)
        config = msgspec.structs.replace(config, count=count or config.count)
        settings = engine_settings(checkpoint=checkpoint, device=config.device)
        sweeper = Sweeper(config, settings.checkpoint, load_tokenizer(settings.checkpoint))
        with case_bar(sweeper.cases) as show:
            report = sweeper.run(on_case=show)
        if write:
            write_settings(settings.checkpoint, report.best)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print_sweep(report)


@click.command(name="report")
@click.option("--gate", "gate_file", type=click.Path(path_type=Path), help="gate.json of `diffill eval gate`.")
@click.option("--sweep", "sweep_file", type=click.Path(path_type=Path), help="JSON of `diffill eval sweep`.")
@click.option("--metrics", multiple=True, type=click.Path(path_type=Path), help="metrics.jsonl of a run; repeatable.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Directory of report.png and report.html.")
@click.option("--title", default="Diffill: gate report", show_default=True)
def draw_report(
    gate_file: Path | None, sweep_file: Path | None, metrics: tuple[Path, ...], out: Path, title: str
) -> None:
    """Draw one page of a gate, a sweep and training runs.

    Loss curves, the speed-quality front, before and after with intervals: PNG, and HTML in one file.
    """
    from diffill.training.evaluation.page import write_report

    try:
        for written in write_report(out, gate=gate_file, sweep=sweep_file, metrics=metrics, title=title):
            click.echo(written)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None
    except ImportError:
        raise click.UsageError("the report needs matplotlib: pip install 'diffill[train]'") from None


def print_gate(report: GateReport) -> None:
    """The rows that decide, or without a comparison what they would be; gate.json holds all of them."""
    from rich.console import Console
    from rich.table import Table

    from diffill.training.evaluation.wording import COLUMNS, row_in_words, verdict_in_words

    table = Table(title=f"{report.after.name} {report.after.hash} on {report.device}")
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    for row in report.rows:
        if row.guarded:
            table.add_row(*row_in_words(row))
    console = Console()
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)
    click.echo(report.rule_in_words)
    click.echo(verdict_in_words(report))


def _print_sweep(report: SweepReport) -> None:
    click.echo(f"{report.model.name} {report.model.hash} on {report.device}, {report.n} holes")
    for point in report.points:
        low, high = point.ci95
        mark = "*" if point.chosen else " "
        click.echo(
            f"{mark} {point.mode:<9} {point.label:<42} {point.rate:6.1%} ({low:.1%} to {high:.1%})  "
            f"{point.tokens_per_forward:.2f} tokens per forward  {point.milliseconds:.0f} ms"
        )
    click.echo(f"best: {report.best}")
