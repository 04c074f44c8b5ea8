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


def checkpoint_option(command: Command) -> Command:
    return click.option(
        "--checkpoint",
        metavar="DIR",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Checkpoint directory in place of the one that comes with Diffill.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def engine_settings(*, checkpoint: Path | None, device: str | None) -> EngineSettings:
    """Settings from the options, else from the environment, else the defaults.

    Raises:
        click.UsageError: an environment variable holds an unusable value.
    """
    from diffill.model.client import EngineSettings

    try:
        return EngineSettings.from_environment(checkpoint=checkpoint, device=device)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
