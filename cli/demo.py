"""`diffill demo`: the real language server on sample files, one answer while it is denoised, and what both took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from .options import checkpoint_option, device_option, engine_settings, json_option
from .problem import engine_problem

if TYPE_CHECKING:
    from diffill.lsp_server.documents import Document
    from diffill.model.client import EngineClient, EngineSettings
    from diffill.model.request import Step
    from diffill.model.tokenizer import Tokenizer

    from .demo_report import DemoReport, ModeFigures, ShownBlock, ShownCompletion
    from .editor_session import EditorSession
    from .sample import Cursor, Sample
    from .screen import Screen


@click.command()
@device_option
@checkpoint_option
@json_option
def demo(device: str | None, checkpoint: Path | None, as_json: bool) -> None:
    """Show the language server at work on sample files, and one answer while it is denoised.

    Ghost text is dimmed on a terminal and stands between ⟦ and ⟧ elsewhere. Everything runs on this machine.
    """
    from diffill.model.client import EngineError

    from .editor_session import ServerError
    from .screen import Screen

    settings = engine_settings(checkpoint=checkpoint, device=device)
    try:
        report = asyncio.run(_run(settings, Screen(quiet=as_json)))
    except EngineError as error:
        raise engine_problem(error) from None
    except ServerError as error:
        raise click.ClickException(f"language server: {error}") from None
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report))


async def _run(settings: EngineSettings, screen: Screen) -> DemoReport:
    from diffill.model.client import EngineClient

    from .complete import load_tokenizer
    from .demo_repair import show_repairs
    from .demo_report import DemoReport
    from .loading import LoadingBar
    from .sample import load_samples

    client = EngineClient(settings)
    try:
        with LoadingBar() as bar:
            model = (await client.wait_ready(bar.update)).model
        if model is None:
            raise click.ClickException("engine: it is ready but names no model")
        tokenizer = await asyncio.to_thread(load_tokenizer, settings.checkpoint)
        screen.title(model)
        samples = load_samples()
        report = DemoReport(
            model=model,
            device=model.device,
            completions=await _edit(settings, samples, screen),
            repairs=await show_repairs(settings, samples, screen),
            block=await _denoise(client, tokenizer, samples[0], screen),
            modes=await _compare_modes(client, tokenizer, samples),
        )
    finally:
        await client.close()
    screen.table(report)
    return report


async def _edit(settings: EngineSettings, samples: list[Sample], screen: Screen) -> list[ShownCompletion]:
    """Play the editor: open each file with a piece missing, and look at the ghost text."""
    from .demo_repair import demo_session

    shown = []
    async with demo_session(settings) as session:
        await session.wait_ready()
        for sample in samples:
            for cursor in sample.cursors:
                shown.append(await _ghost_text(session, sample, cursor))
                screen.completion(sample, cursor, shown[-1])
    return shown


async def _ghost_text(session: EditorSession, sample: Sample, cursor: Cursor) -> ShownCompletion:
    from diffill.model.code.languages import language_of

    from .demo_report import ShownCompletion

    uri, offset = sample.path.as_uri(), sample.offset(cursor)
    start = sample.position(offset)
    # Opened without the piece: after somebody deletes one, the server keeps quiet.
    session.open(uri, language_of(sample.path), _without(sample, cursor)[0].text)
    times = []
    for _ in range(2):
        started = time.perf_counter()
        items = await session.inline_completion(uri, start)
        times.append((time.perf_counter() - started) * 1000)
    session.close(uri)
    return ShownCompletion(
        file=sample.path.name,
        line=start[0] + 1,
        column=start[1] + 1,
        text=items[0].text if items else "",
        author=cursor.missing,
        first_ms=times[0],
        again_ms=times[1],
    )


async def _denoise(client: EngineClient, tokenizer: Tokenizer, sample: Sample, screen: Screen) -> ShownBlock:
    """Fill the body of a function in mode `diffusion`, step by step on the screen."""
    from diffill.lsp_server.completion import complete

    from .demo_report import ShownBlock
    from .recording_engine import RecordingEngine
    from .sample import FUNCTION_BODY

    document, offset = _without(sample, FUNCTION_BODY)
    engine = RecordingEngine(client)
    steps: asyncio.Queue[Step | None] = asyncio.Queue()

    async def fill() -> str:
        try:
            completions = await complete(
                document,
                offset,
                engine=engine,
                tokenizer=tokenizer,
                mode="diffusion",
                invoked=True,
                trace=True,
                on_step=steps.put_nowait,
            )
            return completions[0].text if completions else ""
        finally:
            steps.put_nowait(None)

    async def arriving() -> AsyncIterator[Step]:
        while (step := await steps.get()) is not None:
            yield step

    text, _ = await asyncio.gather(fill(), screen.block(document.text[:offset], arriving(), tokenizer))
    result = engine.result
    return ShownBlock(
        file=sample.path.name,
        text=text,
        tokens=len(result.tokens) // 4 if result else 0,
        forward_passes=result.forward_passes if result else 0,
    )


async def _compare_modes(client: EngineClient, tokenizer: Tokenizer, samples: list[Sample]) -> list[ModeFigures]:
    """The first place of every file and a function body in every mode, alternately and without a trace."""
    from diffill.lsp_server.completion import complete
    from diffill.model.request import DecodeResult, Mode

    from .demo_report import ModeFigures
    from .recording_engine import RecordingEngine
    from .sample import FUNCTION_BODY

    modes: tuple[Mode, ...] = get_args(Mode)
    results: dict[Mode, list[DecodeResult]] = {mode: [] for mode in modes}
    places = [(samples[0], FUNCTION_BODY), *((sample, sample.cursors[0]) for sample in samples)]
    for sample, cursor in places:
        document, offset = _without(sample, cursor)
        for mode in modes:
            engine = RecordingEngine(client)
            await complete(document, offset, engine=engine, tokenizer=tokenizer, mode=mode, invoked=True)
            if engine.result is not None:
                results[mode].append(engine.result)
    return [ModeFigures.of(mode, results[mode]) for mode in modes]


def _without(sample: Sample, cursor: Cursor) -> tuple[Document, int]:
    """The sample as a document with the missing text taken out, and the offset of the hole."""
    from diffill.lsp_server.documents import Document
    from diffill.model.code.languages import language_of

    offset = sample.offset(cursor)
    text = sample.text[:offset] + sample.text[offset + len(cursor.missing) :]
    return Document(uri=sample.path.as_uri(), language=language_of(sample.path), version=0, text=text), offset
