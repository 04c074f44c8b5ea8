"""`diffill eval`: quality of a checkpoint, with intervals."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import checkpoint_option, device_option, engine_settings, json_option, mode_option

if TYPE_CHECKING:
    from diffill.model.request import Decoder, Mode
    from diffill.training.evaluation.infilling import CaseResult, InfillingReport


@click.group(name="eval")
def evaluate() -> None:
    """Measure the quality of a checkpoint."""


@evaluate.command()
@click.option(
    "--tasks", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Cases, .jsonl or .jsonl.gz."
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N cases, in the order of the file."
)
@click.option(
    "--max-tokens", type=click.IntRange(1, 1024), default=128, show_default=True, metavar="N", help="Longest middle."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the bootstrap samples.")
@mode_option
@device_option
@checkpoint_option
@json_option
def infilling(
    tasks: Path,
    limit: int | None,
    max_tokens: int,
    seed: int,
    mode: Mode,
    device: str | None,
    checkpoint: Path | None,
    as_json: bool,
) -> None:
    """Fill holes in Python programs and run their tests.

    Decoding is greedy, one attempt a case. The programs that come of it run one by one in processes of their own with
    limits on time, memory, files and network; see `diffill.training.evaluation.sandbox` for what that covers.
    """
    from diffill.training.evaluation.infilling import evaluate_infilling, load_cases

    from .complete import load_tokenizer

    try:
        cases = load_cases(tasks, limit=limit)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None
    settings = engine_settings(checkpoint=checkpoint, device=device)
    tokenizer = load_tokenizer(settings.checkpoint)
    decoder = load_decoder(settings.checkpoint, settings.device)
    with _bar(len(cases)) as show:
        report = evaluate_infilling(
            cases, decoder, tokenizer, mode=mode, max_tokens=max_tokens, seed=seed, on_case=show
        )
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report))
    else:
        _print(report)


@evaluate.command()
@click.argument("repo", type=click.Path(path_type=Path))
@click.option("--n", "count", type=click.IntRange(min=1), default=300, show_default=True, help="Holes.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws holes and bootstrap samples."
)
@mode_option
@device_option
@checkpoint_option
@json_option
def holes(
    repo: Path, count: int, seed: int, mode: Mode, device: str | None, checkpoint: Path | None, as_json: bool
) -> None:
    """Take single lines out of the files of REPO and see whether they come back."""
    from diffill.training.evaluation.holes import evaluate_holes, punch_holes

    from .complete import load_tokenizer

    try:
        punched = punch_holes(repo, count=count, seed=seed)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = engine_settings(checkpoint=checkpoint, device=device)
    tokenizer = load_tokenizer(settings.checkpoint)
    decoder = load_decoder(settings.checkpoint, settings.device)
    with _bar(len(punched)) as show:
        report = evaluate_holes(punched, decoder, tokenizer, mode=mode, seed=seed, on_case=show)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report))
    else:
        low, high = report.ci95
        click.echo(f"{report.model.name} {report.model.hash} on {report.device}, mode {report.mode}")
        click.echo(f"lines that come back  {report.rate:.1%} ({report.passed} of {report.n}), {low:.1%} to {high:.1%}")
        click.echo(f"tokens per forward    {report.tokens_per_forward:.2f}, {report.milliseconds:.0f} ms an answer")


def load_decoder(checkpoint: Path, device: str) -> Decoder:
    """The network in this process: an evaluation does not share the warm engine with people who type."""
    from diffill.model.engine import load_decoder

    try:
        return load_decoder(checkpoint=checkpoint, device=device, on_progress=lambda share: None)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from None


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[CaseResult], None]]:
    """A bar on a terminal: cases per second, the time left and how many passed so far."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        started, done, passed = time.monotonic(), 0, 0

        def show(result: CaseResult) -> None:
            nonlocal done, passed
            done, passed = done + 1, passed + result.passed
            rate = done / (time.monotonic() - started)
            progress.update(bar, completed=done, description=f"{passed} passed, {rate:.1f} cases/s")

        yield show


def _print(report: InfillingReport) -> None:
    low, high = report.ci95
    click.echo(f"{report.model.name} {report.model.hash} on {report.device}, mode {report.mode}")
    click.echo(
        f"pass@1              {report.rate:.1%} ({report.passed} of {report.n}), 95 % interval {low:.1%} to {high:.1%}"
    )
    click.echo(f"floor               {report.floor:.1%} pass with an empty middle or `pass`")
    click.echo(f"exact match         {report.exact_match:.1%}")
    click.echo(f"tokens per forward  {report.tokens_per_forward:.2f}")
