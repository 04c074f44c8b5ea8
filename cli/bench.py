"""`diffill bench`: how fast this machine decodes, measured side by side."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .options import checkpoint_option, device_option, engine_settings, json_option
from .problem import engine_problem, one_line

if TYPE_CHECKING:
    from diffill.model.client import EngineSettings
    from diffill.model.request import ModelInfo

    from .benchmark.llama_cpp import LlamaCpp
    from .benchmark.report import KernelRow, Report, Row, Suite

_Item = TypeVar("_Item")


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
    settings = engine_settings(checkpoint=checkpoint, device=device)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise click.UsageError("--plot needs matplotlib: pip install 'diffill[bench]'")
    with one_line("--"):
        source = code or Path(asyncio.__file__).parent
        rows: Sequence[Row] | Sequence[KernelRow]
        if suite == "kernels":
            info, rows = _kernels(settings, count)
        elif suite == "typing":
            info, rows = _typing(settings, source, count, seed)
        else:
            info, rows = _decoding(suite, settings, source, count, seed, sorted(set(batches)), max_tokens, with_llama)
    report = _report(suite, info, rows)
    if plot is not None:
        _draw(report, plot)
    _print(report, as_json)


def _decoding(
    suite: Suite,
    settings: EngineSettings,
    source: Path,
    count: int,
    seed: int,
    sizes: Sequence[int],
    max_tokens: int,
    with_llama: bool,
) -> tuple[ModelInfo, list[Row]]:
    from diffill.model.threads import FreeCores
    from diffill.model.tokenizer import Tokenizer

    from .benchmark.places import places

    free = FreeCores()
    tokenizer = Tokenizer.load(settings.checkpoint)
    size = 1 if suite == "latency" else sizes[-1]
    holes = places(source, count=count * size, seed=seed, tokenizer=tokenizer)
    if len(holes) < size:
        raise ValueError(f"code: {source} has only {len(holes)} places, a batch of {size} needs more")
    groups = [holes[at : at + size] for at in range(0, len(holes) - size + 1, size)]

    from diffill.model.decoder_loading import load_decoder

    from .benchmark.latency import measure_latency
    from .benchmark.throughput import measure_throughput

    with contextlib.ExitStack() as stack:
        llama: LlamaCpp | None = None
        if with_llama:
            from .benchmark.llama_cpp import llama_cpp

            llama = stack.enter_context(llama_cpp(settings.checkpoint, threads=free.count()))
        decoder = load_decoder(checkpoint=settings.checkpoint, device=settings.device)
        if suite == "latency":
            rows = measure_latency(_bar(holes), decoder.info.modes, decoder=decoder, tokenizer=tokenizer, llama=llama)
        else:
            rows = measure_throughput(
                _bar(groups), decoder.info.modes, sizes, max_tokens, decoder=decoder, tokenizer=tokenizer, llama=llama
            )
    return decoder.info, rows


def _typing(settings: EngineSettings, source: Path, count: int, seed: int) -> tuple[ModelInfo, list[Row]]:

    from diffill.model.client import EngineClient, EngineError
    from diffill.model.tokenizer import Tokenizer

    from .benchmark.keystrokes import measure_typing
    from .benchmark.places import places

    tokenizer = Tokenizer.load(settings.checkpoint)
    holes = places(source, count=count, seed=seed, tokenizer=tokenizer)

    async def replay(own: EngineSettings) -> tuple[ModelInfo, list[Row]]:
        client = EngineClient(own)
        try:
            status = await client.wait_ready()
            if status.model is None:
                raise click.ClickException("engine: it is ready but names no model")
            rows = await measure_typing(_bar(holes), status.model.modes, client=client, tokenizer=tokenizer, seed=seed)
        finally:
            with contextlib.suppress(EngineError):
                await client.stop()
            await client.close()
        return status.model, rows

    # Its own engine: what somebody types meanwhile would be timed too, and would find the cache full of this.
    with tempfile.TemporaryDirectory(prefix="diffill-") as directory:
        try:
            return asyncio.run(replay(_with_directory(settings, Path(directory))))
        except EngineError as error:
            raise engine_problem(error) from None


def _with_directory(settings: EngineSettings, directory: Path) -> EngineSettings:
    from dataclasses import replace

    return replace(settings, directory=directory)


def _kernels(settings: EngineSettings, count: int) -> tuple[ModelInfo, list[KernelRow]]:
    from diffill.model.checkpoint import checkpoint_hash
    from diffill.model.decoder_loading import model_info
    from diffill.model.device import choose_device
    from diffill.model.threads import FreeCores

    from .benchmark.kernels import Kernels, measure_speeds, operations

    device, _ = choose_device(settings.device)
    free = FreeCores()
    kernels = Kernels(settings.checkpoint, device)
    # Those that nobody used while the weights were loaded: a thread that waits for a core times another program.
    kernels.use_cores(free.count())
    speeds = measure_speeds(kernels.cores)
    rows = [kernels.measure(one, speeds, repeats=count) for one in _bar(operations(kernels.config))]
    return model_info(kernels.config, checkpoint_hash(settings.checkpoint), device), rows


def _report(suite: Suite, info: ModelInfo, rows: Sequence[Row] | Sequence[KernelRow]) -> Report:
    from diffill.model.threads import available_cores

    from .benchmark.report import KernelRow, Report, Row, ratios

    if not rows:
        raise click.ClickException("not one keystroke or place was answered")
    kernels = [row for row in rows if isinstance(row, KernelRow)]
    modes = [row for row in rows if isinstance(row, Row)]
    return Report(
        suite=suite,
        device=info.device,
        processor=_processor(),
        cores=available_cores(),
        model=info,
        rows=kernels or modes,
        ratios=ratios(modes),
    )


def _processor() -> str:
    """The name of the CPU, as far as the system says it."""
    import platform

    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _draw(report: Report, file: Path) -> None:
    from diffill.training.evaluation.charts import png

    from .benchmark.chart import draw

    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_bytes(png(draw(report)))
        beside.replace(file)
    except OSError as error:
        raise click.UsageError(f"--plot: {file} cannot be written: {error.strerror}") from None


def _print(report: Report, as_json: bool) -> None:
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(report))
        return
    from rich.console import Console
    from rich.table import Table

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


def _bar(items: Sequence[_Item]) -> Iterable[_Item]:
    """The items with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, "measuring", console=console, disable=not console.is_terminal)
