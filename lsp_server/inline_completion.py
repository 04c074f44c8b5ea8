"""`textDocument/inlineCompletion`: from the protocol's terms to the use case and back. The newest request wins."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from lsprotocol import types

from diffill.model.client import EngineError

from .completion import Completion, complete
from .documents import Document, Documents
from .positions import Encoding
from .settings import Settings
from .warm_engine import WarmEngine

log = logging.getLogger(__name__)


class InlineCompletions:
    """Answers of one connection: None when a request is out of date, an empty list when nothing is worth showing."""

    def __init__(self, documents: Documents, engine: WarmEngine, encoding: Encoding) -> None:
        self._documents = documents
        self._engine = engine
        self._encoding = encoding
        self._running: dict[str, asyncio.Task[list[Completion] | None]] = {}
        self.settings = Settings()

    def take_settings(self, settings: Settings) -> None:
        """Use these from the next request on."""
        self.settings = settings

    async def answer(self, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
        """Answer one request. Up to the first await the document is the one that the client asked about."""
        uri = params.text_document.uri
        document = self._documents.get(uri)
        self._supersede(uri)
        if document is None:
            return None
        if not self.settings.is_enabled(document.language):
            return types.InlineCompletionList(items=[])
        cursor = document.offset_at(params.position.line, params.position.character, self._encoding)
        selected = params.context.selected_completion_info
        start, end, chosen = cursor, cursor, ""
        if selected is not None:
            start = document.offset_at(selected.range.start.line, selected.range.start.character, self._encoding)
            end = document.offset_at(selected.range.end.line, selected.range.end.character, self._encoding)
            chosen = selected.text
            if not start <= cursor <= end:
                return types.InlineCompletionList(items=[])
        before = document.text
        # What the file would be with the entry chosen in the editor's own list of completions.
        asked = Document(
            uri=uri,
            language=document.language,
            version=document.version,
            text=before[:start] + chosen + before[end:] if selected is not None else before,
        )
        offset = start + len(chosen)
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked

        completions = await self._newest(uri, self._complete(asked, offset, invoked=invoked))

        current = self._documents.get(uri)
        if completions is None or current is None:
            return None
        if not completions:
            return types.InlineCompletionList(items=[])
        if current.text != before:
            typed = _typed(before, current.text, cursor) if selected is None else None
            completions = [_after_typing(item, typed) for item in completions if typed and item.text.startswith(typed)]
            completions = [item for item in completions if item.text]
            if not completions:
                return None
        if selected is not None:
            completions = [replace(item, text=chosen + item.text, start=start, end=end) for item in completions]
        return types.InlineCompletionList(items=[self._item(item, current) for item in completions])

    def cancel_all(self) -> None:
        """Stop what is being decoded."""
        for uri in list(self._running):
            self._supersede(uri)

    def _supersede(self, uri: str) -> None:
        running = self._running.pop(uri, None)
        if running is not None:
            running.cancel()

    async def _newest(self, uri: str, work: Coroutine[Any, Any, list[Completion] | None]) -> list[Completion] | None:
        """The result of `work`, or None when a newer request for `uri` took its place."""
        task = asyncio.ensure_future(work)
        self._running[uri] = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:  # by the client, who is told so
            task.cancel()
            raise
        finally:
            if self._running.get(uri) is task:
                del self._running[uri]
        return None if task.cancelled() else task.result()

    async def _complete(self, document: Document, offset: int, *, invoked: bool) -> list[Completion] | None:
        """The use case's answer; None while the model loads and when the engine has a newer request."""
        ready = self._engine.ready()
        if ready is None:
            return None if self._engine.readiness.state == "loading" else []
        engine, tokenizer = ready
        try:
            return await complete(
                document,
                offset,
                engine=engine,
                tokenizer=tokenizer,
                mode=self.settings.mode,
                invoked=invoked,
                max_tokens=self.settings.max_tokens,
                key=_key(document.uri),
            )
        except EngineError as error:
            if error.code in ("superseded", "cancelled"):
                return None
            log.warning("no completion: %s: %s", error.code, error.message)
            return []

    def _item(self, completion: Completion, document: Document) -> types.InlineCompletionItem:
        start = types.Position(*document.position_at(completion.start, self._encoding))
        end = types.Position(*document.position_at(completion.end, self._encoding))
        return types.InlineCompletionItem(insert_text=completion.text, range=types.Range(start=start, end=end))


def _typed(before: str, after: str, cursor: int) -> str | None:
    """What was typed at `cursor`, when that is all that happened."""
    length = len(after) - len(before)
    if length <= 0 or after[:cursor] != before[:cursor] or after[cursor + length :] != before[cursor:]:
        return None
    return after[cursor : cursor + length]


def _after_typing(completion: Completion, typed: str) -> Completion:
    cursor = completion.start + len(typed)
    return replace(completion, text=completion.text[len(typed) :], start=cursor, end=cursor)


def _key(uri: str) -> str:
    """A document's name for the engine: this process and a hash, because paths are private."""
    return f"{os.getpid()}:{hashlib.sha256(uri.encode('utf-8', 'replace')).hexdigest()[:16]}"
