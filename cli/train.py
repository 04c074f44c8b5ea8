"""`diffill train`: start weights, packed rows, training stages."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .problem import one_line

if TYPE_CHECKING:
    from diffill.training.corpus.workers import Progress as OnProgress
    from diffill.training.stage import Stage
    from diffill.training.trainer import TrainConfig

Config = TypeVar("Config", bound="TrainConfig")


config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), required=True, help="JSON file; see training/configs."
)
seconds_option = click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="Wall-clock budget in place of the config's."
)


@click.group()
def train() -> None:
    """Make a model: convert start weights, pack rows, train a stage, export."""


@train.command()
@click.option("--gguf", "source", type=click.Path(path_type=Path), required=True, help="Quantised start weights.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Checkpoint directory to write.")
@click.option("--name", default="start", show_default=True, help="Name of the checkpoint.")
def convert(source: Path, out: Path, name: str) -> None:
    """Make start weights: GGUF to a full-precision checkpoint with our control tokens."""
    from diffill.training.convert import convert_gguf

    with one_line():
        convert_gguf(source, out, name=name)


@train.command()
@config_option
def pack(path: Path) -> None:
    """Pack a corpus into rows of examples, for all stages."""
    from diffill.training.config import read_config
    from diffill.training.prepare import PrepareConfig, prepare

    with one_line(), _packing_bar() as show:
        report = prepare(read_config(path, PrepareConfig), on_progress=show)
    click.echo(json.dumps(report, indent=2))


@train.command("pack-edits")
@config_option
def pack_edits(path: Path) -> None:
    """Pack edit pairs into rows, for stage C."""
    from diffill.training import edit_examples
    from diffill.training.config import read_config

    with one_line(), _packing_bar() as show:
        report = edit_examples.pack_edits(read_config(path, edit_examples.EditRowsConfig), on_progress=show)
    click.echo(json.dumps(report, indent=2))


@train.command()
@config_option
@seconds_option
def causal(path: Path, seconds: float | None) -> None:
    """Train stage A: code and holes to fill, every token from those before it."""
    from diffill.training.causal import CausalConfig, CausalStage

    run_stage(path, CausalConfig, CausalStage, seconds)


@train.command()
@config_option
@seconds_option
def joint(path: Path, seconds: float | None) -> None:
    """Train stage B: causal and denoising losses together."""
    from diffill.training.joint import JointConfig, JointStage

    run_stage(path, JointConfig, JointStage, seconds)


@train.command()
@config_option
@seconds_option
def edit(path: Path, seconds: float | None) -> None:
    """Train stage C: drafts to mend, beside what stage B learns."""
    from diffill.training.edit import EditConfig, EditStage

    run_stage(path, EditConfig, EditStage, seconds)


@train.command()
@config_option
@seconds_option
def order(path: Path, seconds: float | None) -> None:
    """Train stage D: the states of the model's own best orders."""
    from diffill.training.order import OrderConfig, OrderStage

    run_stage(path, OrderConfig, OrderStage, seconds)


@train.command()
@config_option
@seconds_option
def policy(path: Path, seconds: float | None) -> None:
    """Train stage E: fewer passes on blocks that the model fills."""
    from diffill.training.on_policy import PolicyConfig, PolicyStage

    run_stage(path, PolicyConfig, PolicyStage, seconds)


def run_stage(path: Path, kind: type[Config], stage: Callable[[Config], Stage], seconds: float | None) -> None:
    """One stage from its configuration; SIGINT and SIGTERM end it early and keep what it learned."""
    import msgspec

    from diffill.training.config import read_config
    from diffill.training.processes import leads
    from diffill.training.trainer import Trainer

    from .training_bar import training_bar

    with one_line(), training_bar() as show:
        config = read_config(path, kind)
        config = config if seconds is None else msgspec.structs.replace(config, seconds=seconds)
        last = Trainer(config, stage(config)).run(show)
        if leads():
            click.echo(json.dumps(last))


@train.command()
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="Full-precision checkpoint.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of the int8 checkpoint.")
@click.option("--bfloat16", is_flag=True, help="Two bytes a weight and the history: to train on from.")
@click.option("--name", help="Name of the exported model; the checkpoint's own by default.")
@click.option("--draft-size", type=click.IntRange(min=1), help="Drafts beyond the next token in mode `verify`.")
@click.option("--draft-threshold", type=click.FloatRange(0, 1, min_open=True), help="Least probability of a draft.")
@click.option("--threshold", type=click.FloatRange(0, 1, min_open=True), help="When mode `diffusion` places a token.")
@click.option("--revise/--no-revise", default=None, help="Whether mode `diffusion` may change placed tokens, at 0.9.")
def export(checkpoint: Path, out: Path, bfloat16: bool, revise: bool | None, **changes: Any) -> None:
    """Write the int8 shards that ship, with how they decode best."""
    import dataclasses
    import shutil

    import torch

    from diffill.model.checkpoint import dequantize, load_checkpoint, save_checkpoint
    from diffill.model.tokenizer import Tokenizer
    from diffill.training.history import HISTORY_FILE
    from diffill.training.trainer import METRICS_FILE, RUN_FILE

    with one_line():
        config, tensors = load_checkpoint(checkpoint)
        changes = {name: value for name, value in changes.items() if value is not None}
        if revise is not None:
            changes["revise_threshold"] = 0.9 if revise else None
        config = dataclasses.replace(config, **changes)
        tokenizer = Tokenizer.load(checkpoint)
        dtype = torch.bfloat16 if bfloat16 else torch.int8
        save_checkpoint(out, config=config, weights=dequantize(tensors), tokenizer=tokenizer, dtype=dtype)
        if bfloat16:
            for path in map(checkpoint.joinpath, (HISTORY_FILE, RUN_FILE, METRICS_FILE)):
                if path.exists():
                    shutil.copyfile(path, out / path.name)


@contextlib.contextmanager
def _packing_bar() -> Iterator[OnProgress]:
    from rich.progress import Progress

    with Progress(console=_stderr()) as progress:
        task = progress.add_task("pack", total=None)
        yield lambda stage, done, total: progress.update(task, completed=done, total=total)


def _stderr() -> Any:
    from rich.console import Console

    return Console(stderr=True)
