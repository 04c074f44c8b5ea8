"""`diffill bench`: how fast this machine decodes, measured side by side."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from .benchmark.place import Place, read_places, write_places
from .options import checkpoint_option, device_option, engine_settings, json_option
from .problem import engine_problem, one_line
from .replace_file import write_whole

if TYPE_CHECKING:
    from diffill.model.client import EngineSettings
    from diffill.model.engine import BlockDecoder
    from diffill.model.network import Network
    from diffill.model.request import ModelInfo

    from .benchmark.llama_cpp import LlamaCpp
    from .benchmark.report import KernelRow, Report, Row, Suite
    from .benchmark.transformers_llama import TransformersLlama

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
    with one_line("--"):
        source = code or Path(asyncio.__file__).parent
        rows: Sequence[Row] | Sequence[KernelRow]
        if suite == "kernels":
            info, rows = _kernels(settings, count, shape)
        elif suite == "typing":
            info, rows = _typing(settings, source, count, seed)
        else:
            sizes = [1] if suite == "latency" else sorted(set(batches))
            found = _places(settings, source, places_file, count * sizes[-1], seed)
            if save_places is not None:
                write_places(save_places, found)
                return
            if len(found) < sizes[-1]:
                raise ValueError(f"code: there are only {len(found)} places, a batch of {sizes[-1]} needs more")
            run = _Run(suite=suite, places=found, sizes=sizes, max_tokens=max_tokens, shape=shape)
            info, rows = _decoding(settings, run, with_llama=with_llama, with_transformers=with_transformers)
    report = _report(suite, info, rows)
    if plot is not None:
        _draw(report, plot)
    if out is not None:
        _write(report, out)
    _print(report, as_json)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What the suites `latency` and `throughput` are asked to measure."""

    suite: Suite
    places: list[Place]
    sizes: list[int]
    max_tokens: int
    shape: str | None


def _places(settings: EngineSettings, source: Path, file: Path | None, count: int, seed: int) -> list[Place]:
    """From a file or from code."""
    if file is not None:
        return read_places(file)[:count]
    from diffill.model.tokenizer import Tokenizer

    from .benchmark.places import place_at, places

    tokenizer = Tokenizer.load(settings.checkpoint)
    return [place_at(hole, tokenizer) for hole in places(source, count=count, seed=seed, tokenizer=tokenizer)]


def _decoding(
    settings: EngineSettings, run: _Run, *, with_llama: bool, with_transformers: bool
) -> tuple[ModelInfo, list[Row]]:
    from diffill.model.threads import FreeCores

    from .benchmark.latency import measure_latency
    from .benchmark.throughput import measure_throughput

    free = FreeCores()
    with contextlib.ExitStack() as stack:
        llama: LlamaCpp | None = None
        if with_llama:
            from .benchmark.llama_cpp import llama_cpp

            llama = stack.enter_context(llama_cpp(settings.checkpoint, threads=free.count()))
        decoder = _decoder(settings, run.shape)
        if run.suite == "latency":
            return decoder.info, measure_latency(_bar(run.places), decoder.info.modes, decoder=decoder, llama=llama)
        baseline = None
        if with_transformers:
            baseline = _transformers(settings, run.shape, decoder.network)
        size = run.sizes[-1]
        groups = [run.places[at : at + size] for at in range(0, len(run.places) - size + 1, size)]
        others = {"llama.cpp": llama.answer} if llama else {}
        others |= baseline.contenders if baseline else {}
        rows = measure_throughput(
            _bar(groups), decoder.info.modes, run.sizes, run.max_tokens, decoder=decoder, others=others
        )
    return decoder.info, rows


def _transformers(settings: EngineSettings, shape: str | None, network: Network) -> TransformersLlama:
    if importlib.util.find_spec("transformers") is None:
        raise ValueError("transformers: it is not installed: pip install 'diffill[bench]'")
    from diffill.model.checkpoint import load_checkpoint

    from .benchmark.random_weights import random_tensors
    from .benchmark.transformers_llama import transformers_llama

    tensors = random_tensors(network.config, network.device) if shape else load_checkpoint(settings.checkpoint)[1]
    return transformers_llama(network.config, tensors, network.device)


def _decoder(settings: EngineSettings, shape: str | None) -> BlockDecoder:
    """Of the checkpoint, or of weights that mean nothing."""
    from diffill.model.decoder_loading import load_decoder, model_info
    from diffill.model.engine import BlockDecoder

    if shape is None:
        return load_decoder(checkpoint=settings.checkpoint, device=settings.device)
    import torch

    from diffill.model.device import choose_device
    from diffill.model.loading import build_network
    from diffill.model.tokenizer import Tokenizer

    from .benchmark.random_weights import random_tensors, shape_of

    config, device = shape_of(shape), torch.device(choose_device(settings.device)[0])
    network = build_network(config, random_tensors(config, device), device=device)
    return BlockDecoder(
        network, tokenizer=Tokenizer.load(settings.checkpoint), info=model_info(config, "random", device.type)
    )


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


def _kernels(settings: EngineSettings, count: int, shape: str | None) -> tuple[ModelInfo, list[KernelRow]]:
    import torch

    from diffill.model.checkpoint import checkpoint_hash, load_checkpoint
    from diffill.model.decoder_loading import model_info
    from diffill.model.device import choose_device
    from diffill.model.gpu import chosen
    from diffill.model.threads import FreeCores

    from .benchmark.kernels import REHEARSAL, Kernels, Sizes, operations
    from .benchmark.random_weights import random_tensors, shape_of
    from .benchmark.speeds import measure_speeds

    name, _ = choose_device(settings.device)
    device = torch.device(name)
    free = FreeCores()
    if shape is None:
        config, tensors = load_checkpoint(settings.checkpoint)
    else:
        config = shape_of(shape)
        tensors = random_tensors(config, device)
    on_gpu = chosen(device)
    sizes = REHEARSAL if on_gpu and name == "cpu" else Sizes()
    kernels = Kernels(config, tensors, device, sizes)
    # Those that nobody used while the weights were loaded: a thread that waits for a core times another program.
    kernels.use_cores(free.count() if name == "cpu" else torch.cuda.get_device_properties(device).multi_processor_count)
    speeds = measure_speeds(kernels.watch)
    rows = [kernels.measure(one, speeds, repeats=count) for one in _bar(operations(config, sizes, on_gpu=on_gpu))]
    if on_gpu:
        from .benchmark.gpu_kernels import measure_all

        rows += measure_all(kernels.fast, sizes, speeds, kernels.watch, repeats=count)
    return model_info(config, "random" if shape else checkpoint_hash(settings.checkpoint), name), rows


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
        processor=_processor(info.device),
        cores=available_cores(),
        model=info,
        rows=kernels or modes,
        ratios=ratios(modes),
    )


def _processor(device: str) -> str:
    """The name of the GPU or CPU, as far as the system says it."""
    import platform

    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)

    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _draw(report: Report, file: Path) -> None:
    from diffill.training.evaluation.charts import png

    from .benchmark.chart import draw

    try:
        write_whole(file, png(draw(report)))
    except OSError as error:
        raise click.UsageError(f"--plot: {file} cannot be written: {error.strerror}") from None


def _write(report: Report, file: Path) -> None:
    import msgspec

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    except OSError as error:
        raise click.UsageError(f"--out: {file} cannot be written: {error.strerror}") from None


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
