"""`diffill bench`: how fast this machine decodes, measured side by side."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .benchmark.place import write_places
from .options import checkpoint_option, device_option, engine_settings, json_option
from .problem import engine_problem, one_line

if TYPE_CHECKING:
    from diffill.model.client import EngineSettings
    from diffill.model.request import ModelInfo

    from .benchmark.report import KernelRow, Row, Suite


@click.command()
@click.option(
    "--suite",
    type=click.Choice(["latency", "throughput", "typing", "kernels"]),
    default="latency",
    show_default=True,
    help="What to measure.",
)
@click.option("--n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="Places or repetitions.")
@click.option(
    "--code",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Source files to complete; those of Python's asyncio where nothing is named.",
)
@click.option(
    "--batch",
    "batches",
    type=click.IntRange(1, 64),
    multiple=True,
    default=(1, 4, 16),
    show_default=True,
    help="throughput: streams at once; repeatable.",
)
@click.option(
    "--max-tokens", type=click.IntRange(1, 1024), default=128, show_default=True, help="throughput: longest answer."
)
@click.option("--llama-cpp", "with_llama", is_flag=True, help="latency, throughput: beside llama.cpp on these weights.")
@click.option(
    "--transformers", "with_transformers", is_flag=True, help="throughput: beside transformers on these weights."
)
@click.option(
    "--random",
    "shape",
    type=click.Choice(["default", "default-int8", "8b", "8b-int8"]),
    help="throughput, kernels: weights of this shape that mean nothing, in place of a checkpoint's.",
)
@click.option(
    "--save-places",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="latency, throughput: write the places instead of measuring.",
)
@click.option(
    "--places",
    "places_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="latency, throughput: places that --save-places wrote, in place of --code.",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Also write the JSON here."
)
@click.option("--plot", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Also draw it, as PNG.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Chooses the places.")
@device_option
@checkpoint_option
@json_option
def bench(
    suite: Suite,
    count: int,
    code: Path | None,
    batches: tuple[int, ...],
    max_tokens: int,
    with_llama: bool,
    with_transformers: bool,
    shape: str | None,
    save_places: Path | None,
    places_file: Path | None,
    out: Path | None,
    plot: Path | None,
    seed: int,
    device: str | None,
    checkpoint: Path | None,
    as_json: bool,
) -> None:
    """Measure speed on this machine.

    Modes take turns at every place, so that whatever else the machine does hits all of them alike. `typing` starts an
    engine of its own and types in real time; the others decode in this process.
    """
    if with_llama and suite not in ("latency", "throughput"):
        raise click.UsageError(f"--llama-cpp: the suite {suite} does not run it")
    if with_transformers and suite != "throughput":
        raise click.UsageError(f"--transformers: the suite {suite} does not run it")
    if shape is not None and (suite not in ("throughput", "kernels") or checkpoint is not None or with_llama):
        raise click.UsageError("--random: only the suites throughput and kernels, without a checkpoint or llama.cpp")
    if (save_places or places_file) and suite not in ("latency", "throughput"):
        raise click.UsageError(f"--places: the suite {suite} has its own")
    settings = engine_settings(checkpoint=checkpoint, device=device)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise click.UsageError("--plot needs matplotlib: pip install 'diffill[bench]'")
    source = code or Path(asyncio.__file__).parent
    measured: tuple[ModelInfo, list[Row] | list[KernelRow]]
    with one_line("--"):
        if suite == "kernels":
            from .benchmark.kernel_suite import measure_kernels

            measured = measure_kernels(settings, count, shape)
        elif suite == "typing":
            measured = _typing(settings, source, count, seed)
        else:
            from .benchmark.decoding import Contest, find_places, measure_decoding

            sizes = [1] if suite == "latency" else sorted(set(batches))
            places = find_places(settings, source, places_file, count * sizes[-1], seed)
            if save_places is not None:
                write_places(save_places, places)
                return
            contest = Contest(
                suite=suite,
                places=places,
                sizes=sizes,
                max_tokens=max_tokens,
                shape=shape,
                llama_cpp=with_llama,
                transformers=with_transformers,
            )
            measured = measure_decoding(settings, contest)
    _present(suite, *measured, plot=plot, out=out, as_json=as_json)


def _typing(settings: EngineSettings, source: Path, count: int, seed: int) -> tuple[ModelInfo, list[Row]]:
    from diffill.model.client import EngineError

    from .benchmark.typing_replay import measure_replay

    try:
        return measure_replay(settings, source, count, seed)
    except EngineError as error:
        raise engine_problem(error) from None


def _present(
    suite: Suite,
    model: ModelInfo,
    rows: list[Row] | list[KernelRow],
    *,
    plot: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    import msgspec

    from .benchmark.presentation import draw, print_table, write
    from .benchmark.report import Report

    if not rows:
        raise click.ClickException("not one keystroke or place was answered")
    report = Report.of(suite, model, rows)
    if plot is not None:
        draw(report, plot)
    if out is not None:
        write(report, out)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        print_table(report)
