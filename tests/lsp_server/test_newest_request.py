"""The newest request wins in the server itself, whatever the engine does about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from lsprotocol import types

from diffill.lsp_server import flight
from diffill.lsp_server.documents import Document, Documents
from diffill.lsp_server.inline_completion import InlineCompletions
from diffill.lsp_server.warm_engine import Client, WarmEngine
from diffill.model.client import EngineError
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import DecodeRequest, DecodeResult, Step
from diffill.model.tokenizer import Tokenizer
from tests.stand_in import ReadyClient, result_of

TOKENIZER = Tokenizer.load(DEFAULT_CHECKPOINT)
URI = "file:///a.py"


class PatientEngine(ReadyClient):
    """Answers only when told to, and keeps an account of what is being decoded."""

    def __init__(self) -> None:
        self.running = 0
        self.release = asyncio.Event()
        self.error: EngineError | None = None

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        self.running += 1
        try:
            await self.release.wait()
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return result_of(TOKENIZER.encode("1"))


async def ready(engine: PatientEngine) -> InlineCompletions:
    def connect() -> tuple[Client, Tokenizer]:
        return engine, TOKENIZER

    warm = WarmEngine(connect, lambda readiness: None)
    warm.start()
    while warm.ready() is None:
        await asyncio.sleep(0.001)
    documents = Documents()
    documents.open(Document(uri=URI, language="python", version=1, text="x = "))
    return InlineCompletions(documents, warm, "utf-16")


def params() -> types.InlineCompletionParams:
    return types.InlineCompletionParams(
        text_document=types.TextDocumentIdentifier(uri=URI),
        position=types.Position(line=0, character=4),
        context=types.InlineCompletionContext(trigger_kind=types.InlineCompletionTriggerKind.Automatic),
    )


def test_an_older_request_is_answered_with_null_and_its_work_stops() -> None:
    async def scenario() -> None:
        engine = PatientEngine()
        completions = await ready(engine)
        older = asyncio.ensure_future(completions.answer(params()))
        await asyncio.sleep(0.01)
        assert engine.running == 1
        newer = asyncio.ensure_future(completions.answer(params()))
        assert await asyncio.wait_for(older, timeout=60) is None
        assert engine.running == 1
        engine.release.set()
        answer = await newer
        assert answer is not None and [item.insert_text for item in answer.items] == ["1"]
        assert not completions._completer._flights

    asyncio.run(scenario())


def test_a_cancelled_request_stops_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight, "GRACE_SECONDS", 0.005)

    async def scenario() -> None:
        engine = PatientEngine()
        completions = await ready(engine)
        task = asyncio.ensure_future(completions.answer(params()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.running == 1  # the next request often can use the same answer
        await asyncio.sleep(0.01)
        assert engine.running == 0 and not completions._completer._flights

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("code", "is_null"), [("superseded", True), ("cancelled", True), ("busy", False), ("engine_dead", False)]
)
def test_refusals_of_the_engine(code: str, is_null: bool) -> None:
    async def scenario() -> None:
        engine = PatientEngine()
        completions = await ready(engine)
        engine.error = EngineError(code, "in one line")  # type: ignore[arg-type]
        engine.release.set()
        answer = await completions.answer(params())
        assert (answer is None) == is_null
        assert answer is None or answer.items == []

    asyncio.run(scenario())
