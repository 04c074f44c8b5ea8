"""`diffill doctor`: what is found here, what is chosen, and why."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from .options import checkpoint_option, device_option, engine_settings, json_option

if TYPE_CHECKING:
    from diffill.model.client import EngineSettings

    from .torch_probe import TorchReport

State = Literal["ok", "warn", "fail"]
COLOURS: dict[State, str] = {"ok": "green", "warn": "yellow", "fail": "red"}
# Instructions that multiply 8-bit numbers; without one of them int8 weights save memory but no time.
INT8_FLAGS = ("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    state: State
    detail: str


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON form of `doctor`."""

    usable: bool
    device: str | None
    reason: str
    checks: list[Check]


@click.command()
@device_option
@checkpoint_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, device: str | None, checkpoint: Path | None, as_json: bool) -> None:
    """Report what is found and chosen here, and why.

    Exit status 0 when completions can be served, 1 when something is broken.
    """
    diagnosis = diagnose(engine_settings(checkpoint=checkpoint, device=device))
    if as_json:
        click.echo(msgspec.json.encode(diagnosis))
    else:
        for check in diagnosis.checks:
            click.echo(f"{click.style(f'{check.state:<4}', fg=COLOURS[check.state])}  {check.name}: {check.detail}")
    ctx.exit(0 if diagnosis.usable else 1)


def diagnose(settings: EngineSettings) -> Diagnosis:
    """Look at everything; nothing is started and nothing but the runtime directory is created."""
    from .torch_probe import probe

    torch: TorchReport | None = None
    try:
        torch = probe(settings.checkpoint, settings.device)
        torch_check = Check(
            name="torch",
            state="ok",
            detail=f"{torch.version}, {torch.threads} threads, vector instructions {torch.cpu_capability}",
        )
    except ValueError as error:
        torch_check = Check(name="torch", state="fail", detail=str(error))
    device, reason = (torch.device, torch.reason) if torch else ("", "torch cannot be used")
    checks = [
        _python(),
        torch_check,
        _processor(),
        _memory(settings.checkpoint, torch),
        Check(name="accelerators", state="ok", detail=_accelerators(torch)),
        Check(name="device", state="ok" if device else "fail", detail=f"{device}: {reason}" if device else reason),
        _checkpoint(settings.checkpoint, torch),
        _runtime_directory(settings),
        _engine(settings),
        _grammars(),
    ]
    return Diagnosis(
        usable=all(check.state != "fail" for check in checks), device=device or None, reason=reason, checks=checks
    )


def _python() -> Check:
    return Check(name="python", state="ok", detail=f"{platform.python_version()} at {sys.executable}")


def _processor() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return Check(name="processor", state="ok", detail=f"{cores} cores, {platform.machine()}")
    words = set(cpuinfo.read_text("utf-8", "replace").split())
    found = [flag for flag in INT8_FLAGS if flag in words]
    if not found:
        return Check(
            name="processor", state="warn", detail=f"{cores} cores; no int8 instructions, so int8 is not faster"
        )
    state: State = "warn" if cores < 2 else "ok"
    return Check(name="processor", state=state, detail=f"{cores} cores; int8 instructions: {', '.join(found)}")


def _memory(checkpoint: Path, torch: TorchReport | None) -> Check:
    """Whether the model fits the device that is taken."""
    from diffill.model.memory import TooLarge, footprint

    if torch is None or not torch.device:
        return Check(name="memory", state="warn", detail="not known without a device")
    try:
        needed = footprint(checkpoint, torch.device)
        smaller = needed.cache_within(torch.free_bytes)
    except TooLarge as error:
        return Check(name="memory", state="fail", detail=f"{torch.device}: {str(error).removeprefix('model: ')}")
    except ValueError as error:  # said by the check of the checkpoint
        return Check(name="memory", state="warn", detail=str(error).removeprefix("checkpoint: "))
    free = f"{torch.free_bytes / 1e9:.1f} GB are free on {torch.device}"
    if smaller is not None:
        return Check(name="memory", state="warn", detail=f"{needed}; {free}, so the cache will be smaller")
    return Check(name="memory", state="ok", detail=f"{needed}; {free}")


def _accelerators(torch: TorchReport | None) -> str:
    if torch is None:
        return "not known without torch"
    cuda = f"CUDA: {', '.join(torch.cuda)}" if torch.cuda else "no CUDA"
    return f"{cuda}; {'Metal' if torch.mps else 'no Metal'}"


def _checkpoint(checkpoint: Path, torch: TorchReport | None) -> Check:
    from diffill.model.config import ModelConfig
    from diffill.model.request import MODES, modes_of

    try:
        config = ModelConfig.load(checkpoint)
    except ValueError as error:
        return Check(name="checkpoint", state="fail", detail=str(error).removeprefix("checkpoint: "))
    if torch is None:
        return Check(name="checkpoint", state="warn", detail=f"{config.name} in {checkpoint}, not checked")
    if torch.checkpoint_problem:
        return Check(name="checkpoint", state="fail", detail=torch.checkpoint_problem.removeprefix("checkpoint: "))
    detail = f"{config.name} {torch.checkpoint_hash} in {checkpoint}, every shard whole"
    if missing := [mode for mode in MODES if mode not in modes_of(config)]:
        detail += f"; it has not learned {' and '.join(missing)}: such requests are decoded as {modes_of(config)[0]}"
    if torch.obstacle:
        detail += f"; plain torch computes, the native program cannot: {torch.obstacle}"
    return Check(name="checkpoint", state="ok", detail=detail)


def _runtime_directory(settings: EngineSettings) -> Check:
    directory = settings.runtime_directory()
    try:
        directory.prepare()
    except ValueError as error:
        return Check(name="runtime directory", state="fail", detail=str(error).removeprefix("directory: "))
    if not os.access(directory.path, os.W_OK | os.X_OK):
        return Check(name="runtime directory", state="fail", detail=f"{directory.path} is not writable")
    return Check(name="runtime directory", state="ok", detail=f"{directory.path}, private and writable")


def _engine(settings: EngineSettings) -> Check:
    from diffill.model.client import EngineClient, EngineError, EngineStatus

    async def ask() -> EngineStatus | None:
        client = EngineClient(settings)
        try:
            return await client.status()
        finally:
            await client.close()

    try:
        status = asyncio.run(ask())
    except EngineError as error:
        return Check(name="engine", state="fail", detail=error.message)
    if status is None:
        return Check(name="engine", state="ok", detail="none is running; the first request starts one")
    if status.state == "failed":
        return Check(name="engine", state="fail", detail=status.detail)
    model = f"{status.model.name} {status.model.hash} on {status.model.device}" if status.model else status.detail
    return Check(name="engine", state="ok", detail=f"{status.state}: {model}, process {status.pid}")


def _grammars() -> Check:
    from diffill.model.code.languages import LANGUAGES, parser_for

    missing = []
    for language in LANGUAGES:
        try:
            parser_for(language)
        except (ImportError, AttributeError, ValueError):
            missing.append(language)
    found = ", ".join(language for language in LANGUAGES if language not in missing)
    if missing:
        return Check(name="grammars", state="warn", detail=f"{found or 'none'}; not found: {', '.join(missing)}")
    return Check(name="grammars", state="ok", detail=found)
