"""`diffill complete`: one completion, through the same use case as the language server."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .location import Location, LocationType
from .options import adapter_option, checkpoint_option, device_option, engine_settings, json_option, mode_option
from .problem import engine_problem

if TYPE_CHECKING:
    from diffill.lsp_server.completion import Completion
    from diffill.lsp_server.documents import Document
    from diffill.model.client import EngineSettings
    from diffill.model.request import DecodeResult, Mode, ModelInfo, Step
    from diffill.model.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one call reports."""

    completions: list[Completion]
    result: DecodeResult | None
    """None where the position asks for nothing, so that the engine was not called."""
    model: ModelInfo
    mode: Mode
    total_ms: float

    def to_json(self, document: Document) -> dict[str, object]:
        result = self.result
        return {
            "items": [
                {
                    "text": completion.text,
                    "range": {
                        "start": _position(document, completion.start),
                        "end": _position(document, completion.end),
                    },
                    "score": completion.score,
                }
                for completion in self.completions
            ],
            "mode": self.mode,
            "device": self.model.device,
            "tokens": len(result.tokens) // 4 if result else 0,
            "steps": result.steps if result else 0,
            "forward_passes": result.forward_passes if result else 0,
            "cached_tokens": result.cached_tokens if result else 0,
            "ms": {
                "prefill": result.prefill_ms if result else 0.0,
                "denoise": result.denoise_ms if result else 0.0,
                "total": self.total_ms,
            },
            "model": {"name": self.model.name, "hash": self.model.hash, "adapter": self.model.adapter},
        }


def _position(document: Document, offset: int) -> dict[str, int]:
    line, column = document.column_at_offset(offset)
    return {"line": line, "column": column}


@click.command()
@click.argument("location", metavar="FILE:LINE:COL", type=LocationType())
@mode_option
@device_option
@click.option("--max-tokens", type=click.IntRange(1, 1024), metavar="N", help="At most this many new tokens.")
@click.option("--no-syntax-guidance", is_flag=True, help="Keep an answer that breaks the syntax around it as it is.")
@click.option("--trace", is_flag=True, help="Print every denoising step on standard error.")
@checkpoint_option
@adapter_option
@json_option
def complete(
    location: Location,
    mode: Mode,
    device: str | None,
    max_tokens: int | None,
    no_syntax_guidance: bool,
    trace: bool,
    checkpoint: Path | None,
    adapter: str | None,
    as_json: bool,
) -> None:
    """Complete the code at one position of a file.

    Lines and columns count from 1, columns in characters. The engine is started when none is running and stays warm.
    """
    try:
        document, offset = location.open()
    except ValueError as error:
        raise click.UsageError(f"FILE:LINE:COL: {error}") from None
    settings = engine_settings(checkpoint=checkpoint, device=device, adapter=adapter, place=location.file)
    asking = _ask(
        document,
        offset,
        settings=settings,
        mode=mode,
        max_tokens=max_tokens,
        guided=not no_syntax_guidance,
        trace=trace,
    )
    answer = asyncio.run(asking)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(answer.to_json(document)))
    elif answer.completions:
        text = answer.completions[0].text
        if sys.stdout.isatty():
            from .block_view import printable

            text = printable(text, keep="\n\t")  # what a model writes must not drive the terminal
        click.echo(text)
    else:
        click.echo("nothing to complete here", err=True)


async def _ask(
    document: Document,
    offset: int,
    *,
    settings: EngineSettings,
    mode: Mode,
    max_tokens: int | None,
    guided: bool,
    trace: bool,
) -> Answer:
    from diffill.lsp_server.completion import complete as complete_document
    from diffill.model.client import EngineClient, EngineError

    from .loading import LoadingBar
    from .recording_engine import RecordingEngine

    client = EngineClient(settings)
    # The tokenizer takes as long to load as the connection, and waits for nothing.
    loading_tokenizer = asyncio.create_task(asyncio.to_thread(load_tokenizer, settings.checkpoint))
    try:
        with LoadingBar() as bar:
            status = await client.wait_ready(bar.update)
        tokenizer = await loading_tokenizer
        engine = RecordingEngine(client)
        started = time.perf_counter()
        completions = await complete_document(
            document,
            offset,
            engine=engine,
            tokenizer=tokenizer,
            mode=mode,
            invoked=True,
            max_tokens=max_tokens,
            guided=guided,
            trace=trace,
            on_step=_tracer(tokenizer) if trace else None,
        )
        total_ms = (time.perf_counter() - started) * 1000
    except EngineError as error:
        raise engine_problem(error) from None
    finally:
        loading_tokenizer.cancel()
        await client.close()
    if status.model is None:
        raise click.ClickException("engine: it is ready but names no model")
    model = status.model
    if (used := model.mode_for(mode)) != mode:
        click.echo(f"{model.name} has learned no {mode}: decoded as {used}", err=True)
    return Answer(completions=completions, result=engine.result, model=model, mode=used, total_ms=total_ms)


def load_tokenizer(checkpoint: Path) -> Tokenizer:
    """The tokenizer of a checkpoint; a missing or broken one is the user's error."""
    from diffill.model.tokenizer import Tokenizer

    try:
        return Tokenizer.load(checkpoint)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None


def _tracer(tokenizer: Tokenizer) -> Callable[[Step], None]:
    from .block_view import trace_line

    return lambda step: click.echo(trace_line(step, tokenizer), err=True)
