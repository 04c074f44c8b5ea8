"""`diffill engine start|stop|status`: the warm engine from the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .loading import LoadingBar
from .options import adapter_option, checkpoint_option, device_option, engine_settings, json_option
from .problem import engine_problem

if TYPE_CHECKING:
    from diffill.model.client import EngineClient, EngineSettings, EngineStatus

_Answer = TypeVar("_Answer")


@click.group()
def engine() -> None:
    """Start, stop or look at the warm engine."""


@engine.command()
@device_option
@checkpoint_option
@adapter_option
@json_option
def start(checkpoint: Path | None, adapter: str | None, device: str | None, as_json: bool) -> None:
    """Start the engine if none runs, and wait until it is ready, with the adapter if there is one."""
    settings = engine_settings(checkpoint=checkpoint, device=device, adapter=adapter, place=Path.cwd())

    async def wait(client: EngineClient) -> EngineStatus:
        with LoadingBar() as bar:
            return await client.wait_ready(bar.update)

    try:
        status = _ask(settings, wait)
    except click.ClickException as problem:
        if as_json:
            click.echo(json.dumps({"state": "failed", "detail": problem.message, "directory": _directory(settings)}))
        raise
    _report(settings, status, as_json)


@engine.command()
@device_option
@checkpoint_option
@json_option
@click.pass_context
def stop(ctx: click.Context, checkpoint: Path | None, device: str | None, as_json: bool) -> None:
    """Stop the engine; what it is decoding is cancelled."""
    settings = engine_settings(checkpoint=checkpoint, device=device)
    stopped = _ask(settings, lambda client: client.stop())
    _report(settings, None, as_json, "stopped" if stopped else "none was running")
    ctx.exit(0 if stopped else 1)


@engine.command()
@device_option
@checkpoint_option
@json_option
@click.pass_context
def status(ctx: click.Context, checkpoint: Path | None, device: str | None, as_json: bool) -> None:
    """Show what the engine is doing."""
    settings = engine_settings(checkpoint=checkpoint, device=device)
    current = _ask(settings, lambda client: client.status())
    _report(settings, current, as_json, "none is running")
    ctx.exit(0 if current else 1)


def _ask(settings: EngineSettings, work: Callable[[EngineClient], Coroutine[Any, Any, _Answer]]) -> _Answer:
    from diffill.model.client import EngineClient, EngineError

    async def run() -> _Answer:
        client = EngineClient(settings)
        try:
            return await work(client)
        finally:
            await client.close()

    try:
        return asyncio.run(run())
    except EngineError as error:
        raise engine_problem(error) from None


def _directory(settings: EngineSettings) -> str:
    return str(settings.runtime_directory().path)


def _report(settings: EngineSettings, status: EngineStatus | None, as_json: bool, otherwise: str = "") -> None:
    directory = _directory(settings)
    if status is None:
        click.echo(json.dumps({"state": "stopped", "directory": directory}) if as_json else f"engine: {otherwise}")
        return
    model = status.model
    if as_json:
        document = {
            "state": status.state,
            "progress": status.progress,
            "detail": status.detail,
            "pid": status.pid,
            "device": model.device if model else settings.device,
            "model": {"name": model.name, "hash": model.hash, "adapter": model.adapter} if model else None,
            "uptime_s": status.uptime_s,
            "requests": status.requests,
            "directory": directory,
        }
        click.echo(json.dumps(document))
        return
    tuned = f" with {model.adapter}" if model and model.adapter else ""
    loaded = f"{model.name} {model.hash}{tuned} on {model.device}" if model else ""
    what = loaded or f"{status.detail} ({status.progress:.0%})"
    click.echo(f"engine: {status.state}: {what}")
    click.echo(f"process {status.pid}, up {status.uptime_s:.0f} s, {status.requests} requests, in {directory}")
