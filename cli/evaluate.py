"""`diffill eval`: quality of a checkpoint, with intervals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .case_bar import case_bar
from .gate import draw_report, gate, sweep
from .options import adapter_option, checkpoint_option, device_option, engine_settings, json_option, mode_option
from .problem import one_line
from .teams import teams

if TYPE_CHECKING:
    from diffill.model.decoding_turn import Decoder
    from diffill.model.request import Mode
    from diffill.training.evaluation.judgement import Report

tasks_option = click.option(
    "--tasks", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Cases, .jsonl or .jsonl.gz."
)
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N cases, in the order of the file."
)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What every measurement is told: which weights decode, how, and how its report is printed."""

    mode: Mode
    device: str | None
    checkpoint: Path | None
    adapter: str | None
    seed: int
    as_json: bool

    def run(self, cases: Sized, evaluate: Callable[..., Report]) -> None:
        """Judge `cases` with `evaluate` and print what it reports."""
        from .complete import load_tokenizer

        settings = engine_settings(checkpoint=self.checkpoint, device=self.device, adapter=self.adapter)
        tokenizer = load_tokenizer(settings.checkpoint)
        decoder = load_decoder(settings.checkpoint, settings.device, settings.adapter)
        if self.mode not in decoder.info.modes:
            raise click.UsageError(f"--mode: {decoder.info.name} has learned {', '.join(decoder.info.modes)} alone")
        with case_bar(len(cases)) as show:
            report = evaluate(cases, decoder, tokenizer, mode=self.mode, seed=self.seed, on_case=show)
        _print(report, self.as_json)


def measures(draws: str = "the bootstrap samples") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a measurement, which the command gets as one `Measurement`.

    Args:
        draws: what the seed decides, for the help.
    """
    names = Measurement.__dataclass_fields__
    seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help=f"Draws {draws}.")

    def with_options(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def measure(**values: Any) -> None:
            measurement = Measurement(**{name: values.pop(name) for name in names})
            command(measurement=measurement, **values)

        options = (seed, mode_option, device_option, checkpoint_option, adapter_option, json_option)
        return functools.reduce(lambda inner, option: option(inner), reversed(options), measure)

    return with_options


@click.group(name="eval")
def evaluate() -> None:
    """Measure the quality of a checkpoint."""


evaluate.add_command(gate)
evaluate.add_command(sweep)
evaluate.add_command(draw_report)
evaluate.add_command(teams)


@evaluate.command()
@tasks_option
@limit_option
@click.option(
    "--max-tokens", type=click.IntRange(1, 1024), default=128, show_default=True, metavar="N", help="Longest middle."
)
@measures()
def infilling(tasks: Path, limit: int | None, max_tokens: int, measurement: Measurement) -> None:
    """Fill holes in Python programs and run their tests.

    Decoding is greedy, one attempt a case. The programs that come of it run one by one in processes of their own with
    limits on time, memory, files and network; see `diffill.training.evaluation.sandbox` for what that covers.
    """
    from diffill.training.evaluation.infilling import evaluate_infilling, load_cases

    with one_line("--"):
        cases = load_cases(tasks, limit=limit)
    measurement.run(cases, functools.partial(evaluate_infilling, max_tokens=max_tokens))


@evaluate.command()
@tasks_option
@limit_option
@click.option(
    "--part",
    "parts",
    type=click.Choice(["located", "unlocated", "no-op"]),
    multiple=True,
    help="Only these cases: the wrong lines given, the whole function given, correct code. All by default.",
)
@measures()
def repair(tasks: Path, limit: int | None, parts: tuple[str, ...], measurement: Measurement) -> None:
    """Repair code with tests or diagnostics, and leave correct code alone.

    Every task is asked three times: with the region cut to the lines that are wrong (`located`), with the whole
    function (`unlocated`), and with correct code that must come back unchanged (`no-op`). `n`, `passed` and `rate` are
    those of the first of them that was asked for; `parts` holds each.
    """
    from diffill.training.evaluation.repair import evaluate_repairs, load_repairs

    with one_line("--"):
        repairs = [repair for repair in load_repairs(tasks, limit=limit) if not parts or repair.part in parts]
        if not repairs:
            raise ValueError(f"part: {tasks} holds no case of {', '.join(parts)}")
    measurement.run(repairs, evaluate_repairs)


@evaluate.command()
@click.argument("repo", type=click.Path(path_type=Path))
@click.option("--n", "count", type=click.IntRange(min=1), default=300, show_default=True, help="Holes.")
@click.option("--since", metavar="COMMIT", help="Only lines that no file held at this commit of the repository.")
@measures("holes and bootstrap samples")
def holes(repo: Path, count: int, since: str | None, measurement: Measurement) -> None:
    """Take single lines out of the files of REPO and see whether they come back."""
    from diffill.training.evaluation.holes import evaluate_holes, punch_holes

    with one_line():
        punched = punch_holes(repo, count=count, seed=measurement.seed, since=since)
    measurement.run(punched, evaluate_holes)


def load_decoder(checkpoint: Path, device: str, adapter: Path | None = None) -> Decoder:
    """The network in this process: an evaluation does not share the warm engine with people who type."""
    from diffill.model.decoder_loading import load_decoder

    with one_line():
        return load_decoder(checkpoint=checkpoint, device=device, adapter=adapter)


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report))
        return
    tuned = f" with {report.model.adapter}" if report.model.adapter else ""
    click.echo(f"{report.model.name} {report.model.hash}{tuned} on {report.device}, mode {report.mode}")
    for name, part in (report.parts or {report.suite: report}).items():
        low, high = part.ci95
        cleared = "" if part.cleared is None else f", diagnostics cleared {part.cleared:.1%}"
        click.echo(
            f"{name:<10} passed {part.rate:.1%} ({part.passed} of {part.n}), 95 % interval {low:.1%} to {high:.1%}, "
            f"exact {part.exact_match:.1%}{cleared}, {part.tokens_per_forward:.2f} tokens per forward, "
            f"{part.milliseconds:.0f} ms an answer"
        )
    click.echo(f"floor      {report.floor:.1%} pass without a model")
