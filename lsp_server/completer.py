"""Where a completion comes from: an answer already known, one under way that still fits, or the engine."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from diffill.model.client import EngineError
from diffill.model.request import Step, unpack_ids
from diffill.model.tokenizer import MASK, Tokenizer

from .completion import Completion, Question, ask
from .completion_cache import CompletionCache, after_typing
from .context import Context
from .documents import Document, Edit
from .events import Source
from .flight import Flight
from .inquiry import Inquiry
from .settings import Settings
from .typing_rhythm import TypingRhythm
from .warm_engine import WarmEngine

log = logging.getLogger(__name__)

SPECULATION_SECONDS = 10.0
"""How long work goes on that nobody has asked for yet."""
HEAD_START_SECONDS = 0.5
"""How long an answer goes on before the editor asks: they wait 50 ms (VS Code) to 200 ms (Neovim) for the next key."""
IDLE_SECONDS = 0.8
_CLOSERS = re.compile(r"[\s)\]}>;,:]*")
"""Shown by itself these would only take the Tab key from whoever wants to indent."""
_MOST_TYPED = 32
"""Characters. After more than that an answer under way is not worth waiting for."""


class Completer:
    """The answers of one connection. One piece of work per document is under way at most."""

    def __init__(
        self, engine: WarmEngine, context: Context | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._context = context
        self._clock = clock
        self._settings = Settings()
        self._cache = CompletionCache()
        self._flights: dict[str, Flight] = {}
        self._rhythm = TypingRhythm(clock)
        self._idle: asyncio.TimerHandle | None = None
        self._prefill: asyncio.Task[None] | None = None

    def take_settings(self, settings: Settings) -> None:
        """Use these from the next request on."""
        self._settings = settings
        self._cache.clear()

    def known(self, inquiry: Inquiry) -> list[Completion] | None:
        """The answer, if it needs no model. What a person invoked also serves the typing that follows."""
        names = [_name(inquiry, True)] if inquiry.invoked else [_name(inquiry, False), _name(inquiry, True)]
        answers = [self._cache.find(name, inquiry.content, inquiry.offset) for name in names]
        found = next(filter(None, answers), answers[0])
        return None if found is None else [replace(item, start=inquiry.cursor, end=inquiry.cursor) for item in found]

    async def decode(
        self, inquiry: Inquiry, superseded: asyncio.Future[None]
    ) -> tuple[list[Completion] | None, Source]:
        """The answer by the model, for the text as it is when the answer comes; None when that went another way."""
        self._stay_awake()
        flight = self._joinable(inquiry)
        source: Source = "joined" if flight else "decoded"
        if flight is None:
            flight = self._start(inquiry, wait=self._wait(inquiry))
        found = await _unless(superseded, flight)
        if (
            source == "joined"
            and flight.revision != inquiry.revision
            and not _rest(found or [], flight, inquiry.document)
        ):
            if superseded.done() or inquiry.document.revision != inquiry.revision:
                return None, source
            source = "decoded"  # it said nothing there, or went on otherwise than what was typed meanwhile
            flight = self._start(inquiry, wait=0.0)
            found = await _unless(superseded, flight)
        if not found:
            return found, source
        rest = _rest(found, flight, inquiry.document)
        return rest or None, source

    def go_on(self, inquiry: Inquiry) -> None:
        """Start on an answer that is likely to be asked for next."""
        if self.known(inquiry) is None and self._joinable(inquiry) is None:
            self._start(inquiry, wait=0.0, grace=SPECULATION_SECONDS)

    def take_head_start(self, inquiry: Inquiry) -> None:
        """Start on what the editor is about to ask after this key, unless it is not in the habit of asking."""
        if self._rhythm.is_asked_after_keys and self.known(inquiry) is None and self._joinable(inquiry) is None:
            self._start(inquiry, wait=self._wait(inquiry), grace=HEAD_START_SECONDS)

    def drop(self, uri: str) -> None:
        """Stop what is under way for a document."""
        flight = self._flights.pop(uri, None)
        if flight is not None:
            flight.cancel()

    def close(self) -> None:
        """Stop everything."""
        self._stay_awake()
        for uri in list(self._flights):
            self.drop(uri)

    def asked(self) -> None:
        """Note a request that nobody invoked."""
        self._rhythm.asked()

    def typed(self, document: Document, edit: Edit, inquire: Callable[[], Inquiry]) -> None:
        """Note a keystroke. When nothing follows, the engine reads what stands before the cursor meanwhile."""
        if len(edit.text) <= 2 and edit.end - edit.start <= 2:
            self._rhythm.key()
        self._stay_awake()
        revision = document.revision

        def idle() -> None:
            if document.revision == revision and document.uri not in self._flights:
                self._prefill = asyncio.ensure_future(self._read_ahead(inquire()))

        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, idle)

    def _stay_awake(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._prefill is not None:
            self._prefill.cancel()
        self._idle = self._prefill = None

    def _joinable(self, inquiry: Inquiry) -> Flight | None:
        """What is under way, if its answer may begin with what was typed since; anything else is cancelled."""
        flight = self._flights.get(inquiry.document.uri)
        if flight is None:
            return None
        typed = inquiry.document.typed_since(flight.revision, flight.offset)
        if (
            typed is not None
            and typed[1] == inquiry.cursor
            and len(typed[0]) <= _MOST_TYPED
            and flight.surroundings == _surroundings(inquiry)
            and flight.invoked >= inquiry.invoked
            and flight.fits(typed[0])
        ):
            return flight
        self.drop(inquiry.document.uri)
        return None

    def _start(self, inquiry: Inquiry, *, wait: float, grace: float | None = None) -> Flight:
        uri = inquiry.document.uri
        self.drop(uri)
        flight = Flight(
            revision=inquiry.revision,
            offset=inquiry.cursor,
            surroundings=_surroundings(inquiry),
            invoked=inquiry.invoked,
            grace=grace,
        )
        self._flights[uri] = flight

        def ended(flight: Flight) -> None:
            if self._flights.get(uri) is flight:
                del self._flights[uri]

        flight.start(self._work(inquiry, flight, wait), ended)
        return flight

    def _wait(self, inquiry: Inquiry) -> float:
        if inquiry.invoked:
            return 0.0
        if self._settings.delay is not None:
            return self._settings.delay / 1000
        return self._rhythm.wait(inquiry.content.slice(inquiry.offset - 1, inquiry.offset))

    async def _work(self, inquiry: Inquiry, flight: Flight, wait: float) -> list[Completion] | None:
        """The use case's answer; None while the model loads and when the engine has a newer request."""
        if wait > 0:
            await asyncio.sleep(wait)
        ready = self._engine.ready()
        if ready is None:
            return None if self._engine.readiness.state == "loading" else []
        engine, tokenizer = ready
        question = self._question(inquiry, tokenizer)
        if question is None:
            return []
        began = self._clock()
        try:
            result = await engine.decode(question.request, on_step=self._follow(flight, question, tokenizer))
        except EngineError as error:
            if error.code in ("superseded", "cancelled"):
                return None
            log.warning("no completion: %s: %s", error.code, error.message)
            return []
        self._rhythm.answered(self._clock() - began)
        found = question.read(result, tokenizer)
        if not inquiry.invoked:
            found = [item for item in found if not _CLOSERS.fullmatch(item.text)]
        self._cache.store(_name(inquiry, inquiry.invoked), inquiry.content, inquiry.offset, found)
        return [replace(item, start=inquiry.cursor, end=inquiry.cursor) for item in found]

    def _question(self, inquiry: Inquiry, tokenizer: Tokenizer) -> Question | None:
        return ask(
            inquiry.window,
            inquiry.offset,
            tokenizer=tokenizer,
            mode=self._settings.mode,
            invoked=inquiry.invoked,
            max_tokens=self._settings.max_tokens,
            candidates=self._settings.alternatives if inquiry.invoked else 1,
            key=_key(inquiry.document.uri),
            trace=not inquiry.invoked,
            related=self._related(inquiry),
            indentation=inquiry.indentation,
            guided=self._settings.syntax_guidance,
        )

    def _related(self, inquiry: Inquiry) -> str:
        if self._context is None or self._settings.context == "file":
            return ""
        return self._context.text_for(inquiry.document, inquiry.cursor)

    def _follow(self, flight: Flight, question: Question, tokenizer: Tokenizer) -> Callable[[Step], None] | None:
        """Takes down how the answer begins, so that a request which needs another one does not wait for it."""
        if not question.request.trace or question.request.mode == "diffusion":
            return None  # of several answers, and of one that is revised, the beginning is not known before the end
        tokens: list[int] = []

        def follow(step: Step) -> None:
            placed = unpack_ids(step.tokens)
            placed = placed[: placed.index(MASK)] if MASK in placed else placed
            tokens[step.start :] = placed
            flight.begun = question.written(tokens, tokenizer)

        return follow

    async def _read_ahead(self, inquiry: Inquiry) -> None:
        """Have the prompt read, so that the next answer starts from there."""
        ready = self._engine.ready()
        if ready is None or self.known(inquiry) is not None:
            return
        engine, tokenizer = ready
        question = self._question(replace(inquiry, invoked=True), tokenizer)
        if question is not None:
            request = msgspec.structs.replace(
                question.request, max_tokens=1, candidates=1, priority="background", trace=False
            )
            try:
                await engine.decode(request)
            except EngineError as error:
                log.debug("nothing was read ahead: %s", error.code)


async def _unless(superseded: asyncio.Future[None], flight: Flight) -> list[Completion] | None:
    """The flight's answer, or None when a newer request came first."""
    waiting = asyncio.ensure_future(flight.result())
    either: set[asyncio.Future[Any]] = {waiting, superseded}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not waiting.done():
            waiting.cancel()
    return None if superseded.done() else waiting.result()


def _rest(found: list[Completion], flight: Flight, document: Document) -> list[Completion]:
    """The completions less what was typed since they were asked for."""
    typed = document.typed_since(flight.revision, flight.offset)
    return after_typing(found, *typed) if typed is not None else []


def _name(inquiry: Inquiry, invoked: bool) -> str:
    return f"{'invoked' if invoked else 'automatic'} {inquiry.indentation!r} {inquiry.document.uri}"


def _surroundings(inquiry: Inquiry) -> object:
    """What besides the document the answer depends on."""
    return inquiry.surroundings, inquiry.indentation


def _key(uri: str) -> str:
    """A document's name for the engine: this process and a hash, because paths are private."""
    return f"{os.getpid()}:{hashlib.sha256(uri.encode('utf-8', 'replace')).hexdigest()[:16]}"
