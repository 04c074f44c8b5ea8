"""Where an answer comes from: typing through one, joining one under way, going on after acceptance, reading ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from lsprotocol import types

from diffill.lsp_server import completer
from diffill.lsp_server.documents import Document, Documents, Edit
from diffill.lsp_server.events import Answered, Shown
from diffill.lsp_server.inline_completion import InlineCompletions
from diffill.lsp_server.settings import Settings
from diffill.lsp_server.warm_engine import Client, WarmEngine
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import Alternative, DecodeRequest, DecodeResult, Step, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer
from tests.stand_in import ReadyClient, result_of

TOKENIZER = Tokenizer.load(DEFAULT_CHECKPOINT)
URI = "file:///a.py"
KEYS = "quickest"
"""None of which continues the answer."""


class Engine(ReadyClient):
    """Answers when it is let, and tells the beginning before."""

    def __init__(self) -> None:
        self.asked: list[DecodeRequest] = []
        self.answer = "print(value)"
        self.begins = ""
        self.others: tuple[str, ...] = ()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.cancelled = 0

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        self.asked.append(request)
        answer = self.answer
        if self.begins and on_step is not None:
            tokens = pack_ids(TOKENIZER.encode(self.begins))
            on_step(Step(forward_pass=1, start=0, tokens=tokens, confidence=(1.0,)))
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        space = " " if request.starts_with_space else ""
        others = [
            Alternative(tokens=pack_ids(TOKENIZER.encode(space + text)), score=-1.0, finish="eom")
            for text in self.others[: request.candidates - 1]
        ]
        return result_of(TOKENIZER.encode(space + answer), score=-0.1, alternatives=others)


class Desk:
    """One person at one document, the cursor at its end or before what stands behind `|`."""

    def __init__(self, engine: Engine, warm: WarmEngine, marked: str, settings: Settings) -> None:
        self.now = 100.0
        self.engine, self.documents = engine, Documents()
        self.completions = InlineCompletions(self.documents, warm, "utf-16", clock=lambda: self.now)
        self.completions.take_settings(settings)
        before, _, after = marked.partition("|")
        self.document = Document(uri=URI, language="python", version=1, text=before + after)
        self.cursor = len(before)
        self.documents.open(self.document)

    def type(self, text: str, *, closes: str = "") -> None:
        self.documents.edit(self.document, Edit(start=self.cursor, end=self.cursor, text=text + closes))
        self.cursor += len(text)

    def delete(self, count: int = 1) -> None:
        self.documents.edit(self.document, Edit(start=self.cursor - count, end=self.cursor, text=""))
        self.cursor -= count

    async def ask(self, *, invoked: bool = False) -> list[str] | None:
        answer = await self.request(invoked=invoked)
        return None if answer is None else [str(item.insert_text) for item in answer.items]

    def request(self, *, invoked: bool = False) -> Awaitable[types.InlineCompletionList | None]:
        kind = types.InlineCompletionTriggerKind
        params = types.InlineCompletionParams(
            text_document=types.TextDocumentIdentifier(uri=URI),
            position=types.Position(*self.document.position_at(self.cursor, "utf-16")),
            context=types.InlineCompletionContext(trigger_kind=kind.Invoked if invoked else kind.Automatic),
        )
        return asyncio.ensure_future(self.completions.answer(params))


def at_desk(marked: str, scenario: Callable[[Desk], Awaitable[None]], settings: Settings | None = None) -> None:
    async def run() -> None:
        engine = Engine()

        def connect() -> tuple[Client, Tokenizer]:
            return engine, TOKENIZER

        warm = WarmEngine(connect, lambda readiness: None)
        warm.start()
        while warm.ready() is None:
            await asyncio.sleep(0.001)
        desk = Desk(engine, warm, marked, settings or Settings(delay=0))
        await scenario(desk)
        desk.completions.cancel_all()

    asyncio.run(run())


@pytest.mark.parametrize("on", [True, False])
def test_syntax_guidance_is_a_setting(on: bool) -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask()
        assert [request.guided for request in desk.engine.asked] == [on]

    at_desk("x = |\n", scenario, Settings(delay=0, syntax_guidance=on))


def test_typing_through_an_answer_asks_the_engine_once() -> None:
    async def scenario(desk: Desk) -> None:
        assert await desk.ask() == ["print(value)"]
        for typed, left in (("p", "rint(value)"), ("ri", "nt(value)"), ("nt(", "value)")):
            desk.type(typed)
            assert await desk.ask() == [left]
        desk.type("value")
        assert await desk.ask() == [")"]
        assert len(desk.engine.asked) == 1

    at_desk("x = |\n", scenario)


def test_a_deletion_leads_back_and_edits_elsewhere_do_not_matter() -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask()
        desk.type("pr")
        desk.delete()
        desk.documents.edit(desk.document, Edit(start=0, end=0, text="import os\n"))
        desk.cursor += len("import os\n")
        desk.documents.edit(desk.document, Edit(start=desk.cursor + 300, end=desk.cursor + 300, text="# more"))
        assert await desk.ask() == ["rint(value)"]
        assert len(desk.engine.asked) == 1

    at_desk("y = 0\n" * 100 + "x = |\n" + "y = 0\n" * 100, scenario)


def test_an_answer_typed_otherwise_is_asked_for_again() -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask()
        desk.type("q")
        desk.engine.answer = "uit()"
        assert await desk.ask() == ["uit()"]
        assert len(desk.engine.asked) == 2

    at_desk("x = |\n", scenario)


def test_the_bracket_that_the_editor_closed_is_not_inserted_again() -> None:
    async def scenario(desk: Desk) -> None:
        await desk.ask()
        desk.type("print(", closes=")")
        assert await desk.ask() == ["value"]
        assert len(desk.engine.asked) == 1

    at_desk("x = |\n", scenario)


def test_a_request_joins_what_is_under_way() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.may_answer.clear()
        desk.engine.begins = "pri"
        first = desk.request()
        await asyncio.sleep(0.01)
        desk.type("p")
        second = desk.request()
        await asyncio.sleep(0.01)
        assert await first is None
        desk.engine.may_answer.set()
        answer = await second
        assert answer is not None and answer.items[0].insert_text == "rint(value)"
        assert len(desk.engine.asked) == 1

    at_desk("x = |\n", scenario)


def test_who_asks_after_every_key_finds_the_answer_under_way() -> None:
    async def scenario(desk: Desk) -> None:
        for index in range(8):
            desk.type(KEYS[index])
            await asyncio.sleep(0)
            assert len(desk.engine.asked) == index + (index >= 3)  # its habit is known after a few keys
            await desk.ask()
            assert len(desk.engine.asked) == index + 1

    at_desk("x = |\n", scenario)


def test_nothing_is_decoded_ahead_for_who_does_not_ask() -> None:
    async def scenario(desk: Desk) -> None:
        for index, key in enumerate(KEYS * 3):
            desk.type(key)
            await asyncio.sleep(0)
            desk.now += 0.5
            if index % 2:
                await desk.ask()
        assert len(desk.engine.asked) == len(KEYS * 3) // 2

    at_desk("x = |\n", scenario)


def test_a_request_that_begins_otherwise_does_not_wait() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.may_answer.clear()
        desk.engine.begins = "pri"
        first = desk.request()
        await asyncio.sleep(0.01)
        desk.type("q")
        second = desk.request()
        await asyncio.sleep(0.01)
        assert desk.engine.cancelled == 1 and len(desk.engine.asked) == 2
        assert await first is None
        desk.engine.answer = "uit()"
        desk.engine.may_answer.set()
        assert await second is not None

    at_desk("x = |\n", scenario)


def test_an_answer_that_turns_out_otherwise_is_asked_for_again() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.may_answer.clear()
        first = desk.request()
        await asyncio.sleep(0.01)
        desk.type("q")
        second = desk.request()
        await asyncio.sleep(0.01)
        assert len(desk.engine.asked) == 1
        desk.engine.answer = "uit()"
        desk.engine.may_answer.set()
        answer = await second
        assert await first is None
        assert answer is not None and [item.insert_text for item in answer.items] == ["uit()"]
        assert len(desk.engine.asked) == 2

    at_desk("x = |\n", scenario)


def test_where_the_one_under_way_says_nothing_there_may_be_an_answer_a_letter_later() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.may_answer.clear()
        desk.engine.answer = ""
        first = desk.request()
        await asyncio.sleep(0.01)
        desk.type("p")
        second = desk.request()
        await asyncio.sleep(0.01)
        assert len(desk.engine.asked) == 1
        desk.engine.answer = "rint(value)"
        desk.engine.may_answer.set()
        assert await first is None
        answer = await second
        assert answer is not None and [item.insert_text for item in answer.items] == ["rint(value)"]
        assert len(desk.engine.asked) == 2

    at_desk("x = |\n", scenario)


def test_after_acceptance_the_next_answer_is_under_way_before_it_is_asked_for() -> None:
    async def scenario(desk: Desk) -> None:
        accepted: list[Shown] = []
        desk.completions.on_accept.append(accepted.append)
        answer = await desk.request()
        assert answer is not None and answer.items[0].command is not None
        desk.type("print(value)")
        desk.engine.answer = "\n"
        desk.completions.accepted(*answer.items[0].command.arguments or [])
        await asyncio.sleep(0.01)
        assert len(desk.engine.asked) == 2 and [shown.text for shown in accepted] == ["print(value)"]
        assert await desk.ask() == []
        assert len(desk.engine.asked) == 2
        desk.completions.accepted("of another session")

    at_desk("x = |\n", scenario)


def test_alternatives_when_invoked() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.others = ("quit()", "print(value)", "run()")
        assert await desk.ask() == ["print(value)"]
        assert await desk.ask(invoked=True) == ["print(value)", "quit()"]  # the third is the first once more
        assert [request.candidates for request in desk.engine.asked] == [1, 3]
        desk.type("q")
        assert await desk.ask() == ["uit()"]

    at_desk("x = |\n", scenario)


def test_what_was_asked_for_is_still_there_where_nothing_was_said_unasked() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.answer = ""
        assert await desk.ask() == []
        desk.engine.answer = "print(value)"
        assert await desk.ask(invoked=True) == ["print(value)"]
        assert await desk.ask() == ["print(value)"]
        assert len(desk.engine.asked) == 2

    at_desk("x = |\n", scenario)


def test_after_a_lone_deletion_it_is_quiet() -> None:
    async def scenario(desk: Desk) -> None:
        desk.delete()
        assert await desk.ask() == []
        assert await desk.ask(invoked=True) == ["print(value)"]
        desk.delete()
        desk.delete()
        assert await desk.ask() == ["print(value)"]  # three in a row make place for something new
        assert len(desk.engine.asked) == 2

    at_desk("x = abcdef|\n", scenario)


def test_what_is_too_unlikely_is_shown_only_when_asked_for() -> None:
    async def scenario(desk: Desk) -> None:
        answers: list[Answered] = []
        desk.completions.on_answer.append(answers.append)
        assert await desk.ask() == []
        assert await desk.ask(invoked=True) == ["print(value)"]
        assert [(len(answer.items), answer.source) for answer in answers] == [(0, "decoded"), (1, "decoded")]

    at_desk("x = |\n", scenario, Settings(delay=0, confidence=1.0))


def test_a_pause_is_used_to_read_what_stands_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completer, "IDLE_SECONDS", 0.02)

    async def scenario(desk: Desk) -> None:
        desk.type("1 + ")
        await asyncio.sleep(0.1)
        assert [(request.max_tokens, request.priority) for request in desk.engine.asked] == [(1, "background")]
        await desk.ask()
        read, asked = (unpack_ids(request.prompt) for request in desk.engine.asked)
        assert read == asked

    at_desk("x = |\n", scenario)


def test_silenced_documents() -> None:
    async def scenario(desk: Desk) -> None:
        desk.completions.silencers.append(lambda document: document.uri == URI)
        assert await desk.ask(invoked=True) == []
        assert not desk.engine.asked

    at_desk("x = |\n", scenario)


def test_nothing_is_kept_of_a_closed_document() -> None:
    async def scenario(desk: Desk) -> None:
        desk.engine.may_answer.clear()
        waiting = desk.request()
        await asyncio.sleep(0.01)
        desk.documents.close(URI)
        assert await waiting is None
        await asyncio.sleep(0)
        assert desk.engine.cancelled == 1 and not desk.completions._newest

    at_desk("x = |\n", scenario)
