"""Options that several commands share, and the engine settings they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from diffill.model.client import EngineSettings

Command = TypeVar("Command", bound=Callable[..., Any])


def mode_option(command: Command) -> Command:
    return click.option(
        "--mode",
        type=click.Choice(["ar", "verify", "diffusion"]),
        default="verify",
        show_default=True,
        help="How to decode.",
    )(command)


def device_option(command: Command) -> Command:
    return click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to decode.")(command)


def _checkpoint(_: click.Context, parameter: click.Parameter, name: str | None) -> Path | None:
    from diffill.model.hugging_face.layout import find_checkpoint

    try:
        return find_checkpoint(name) if name is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("model: "), param=parameter) from None


def checkpoint_option(command: Command) -> Command:
    return click.option(
        "--model",
        "--checkpoint",
        "checkpoint",
        metavar="DIR|ORG/NAME",
        callback=_checkpoint,
        help="In place of the model that comes with Diffill: a checkpoint of ours, or one in Hugging Face layout, "
        "which may also be named if it was downloaded.",
    )(command)


def adapter_option(command: Command) -> Command:
    return click.option(
        "--adapter",
        metavar="NAME|DIR",
        help="Adapter, installed or in a directory, in place of the one chosen for the workspace.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def engine_settings(
    *, checkpoint: Path | None, device: str | None, adapter: str | None = None, place: Path | None = None
) -> EngineSettings:
    """Settings from the options, else from the environment, else the defaults.

    Args:
        adapter: a directory, or the name of an installed one.
        place: what is worked on; see `EngineSettings.from_environment`.

    Raises:
        click.UsageError: an environment variable holds an unusable value, or there is no such adapter.
    """
    from diffill.model.client import EngineSettings

    try:
        path = adapter_directory(adapter) if adapter else None
        return EngineSettings.from_environment(checkpoint=checkpoint, device=device, adapter=path, place=place)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def adapter_directory(adapter: str) -> Path:
    """A directory as it is, a name from the store.

    Raises:
        ValueError: it is neither.
    """
    from diffill.model.adapter_store import AdapterStore

    return path if (path := Path(adapter)).is_dir() else AdapterStore().find(adapter).path
