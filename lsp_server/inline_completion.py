"""`textDocument/inlineCompletion`: from the protocol's terms to the use case and back. The newest request wins."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from itertools import count

from lsprotocol import types

from .completer import Completer
from .completion import Completion
from .confidence import chance
from .context import Context
from .documents import Document, Documents, Edit
from .events import ACCEPTED, Answered, Shown, Source
from .inquiry import Inquiry, inquire, inquire_at
from .notebooks import Notebooks
from .positions import Encoding
from .settings import Settings
from .warm_engine import WarmEngine

_REMEMBERED = 64
"""Completions that may still be accepted."""


class InlineCompletions:
    """Answers of one connection: None when a request is out of date, an empty list when nothing is worth showing."""

    def __init__(
        self,
        documents: Documents,
        engine: WarmEngine,
        encoding: Encoding,
        notebooks: Notebooks | None = None,
        context: Context | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._documents = documents
        self._encoding = encoding
        self._notebooks = notebooks or Notebooks(documents)
        self._clock = clock
        self._completer = Completer(engine, context, clock)
        self._newest: dict[str, asyncio.Future[None]] = {}
        self._indentations: dict[str, str] = {}
        self._shown: OrderedDict[str, Shown] = OrderedDict()
        self._ids = count(1)
        self.settings = Settings()
        self.silencers: list[Callable[[Document], bool]] = [context.keeps_out] if context is not None else []
        """Whoever says true keeps completions away from a document."""
        self.on_answer: list[Callable[[Answered], None]] = []
        self.on_accept: list[Callable[[Shown], None]] = []
        documents.listeners.append(self)

    def take_settings(self, settings: Settings) -> None:
        """Use these from the next request on."""
        self.settings = settings
        self._completer.take_settings(settings)

    async def answer(
        self, params: types.InlineCompletionParams, version: int | None = None, indentation: str = ""
    ) -> types.InlineCompletionList | None:
        """Answer one request. Up to the first await the document is the one that the client asked about.

        Args:
            version: of that document, where the client says so.
            indentation: one level, as the editor writes it; for files that do not tell.
        """
        began = self._clock()
        uri = params.text_document.uri
        superseded = self._supersede(uri)
        document = self._documents.get(uri)
        if document is None or version not in (None, document.version):
            return None
        inquiry = inquire(document, params, self._encoding, self._notebooks) if self._may_speak(document) else None
        if inquiry is None:
            return self._reply(document, None, [], "cache", began)
        inquiry = replace(inquiry, indentation=indentation)
        self._documents.touch(uri)
        self._indentations[uri] = indentation
        if not inquiry.invoked:
            self._completer.asked()
        found = self._completer.known(inquiry)
        source: Source = "cache"
        if found is None and not inquiry.invoked and document.lone_deletion_at(inquiry.cursor):
            self._completer.drop(uri)
            found = []
        elif found is None:
            found, source = await self._completer.decode(inquiry, superseded)
        if superseded.done() or found is None or self._documents.get(uri) is not document:
            return None
        return self._reply(document, inquiry, found, source, began)

    def accepted(self, identifier: str) -> None:
        """The editor inserted a completion: what comes next is decoded before it is asked for."""
        shown = self._shown.pop(identifier, None)
        document = self._documents.get(shown.uri) if shown is not None else None
        if shown is None or document is None:
            return
        for listener in self.on_accept:
            listener(shown)
        inserted = document.typed_since(shown.revision, shown.offset)
        if inserted is not None and inserted[0] == shown.text and self._may_speak(document):
            self._completer.go_on(inquire_at(document, inserted[1], self._notebooks))

    def shown(self, identifier: str) -> Shown | None:
        """A completion that may still be accepted."""
        return self._shown.get(identifier)

    def cancel_all(self) -> None:
        """Stop what is being decoded."""
        for uri in list(self._newest):
            self._supersede(uri)
        self._completer.close()

    def opened(self, document: Document) -> None:
        """Where the cursor is, only a request will tell."""

    def edited(self, document: Document, edit: Edit) -> None:
        """The person types."""
        self._completer.typed(document, edit, lambda: self._inquire_behind(document, edit))
        if edit.start == edit.end and len(edit.text.strip()) <= 2 and self._may_speak(document):
            self._completer.take_head_start(self._inquire_behind(document, edit))

    def closed(self, document: Document) -> None:
        """Nobody waits any more."""
        self._supersede(document.uri)
        del self._newest[document.uri]
        self._indentations.pop(document.uri, None)
        self._completer.drop(document.uri)

    def _inquire_behind(self, document: Document, edit: Edit) -> Inquiry:
        """What the editor asks after an edit, if it asks."""
        inquiry = inquire_at(document, edit.start + len(edit.text), self._notebooks)
        return replace(inquiry, indentation=self._indentations.get(document.uri, ""))

    def _may_speak(self, document: Document) -> bool:
        return self.settings.is_enabled(document.language) and not any(quiet(document) for quiet in self.silencers)

    def _supersede(self, uri: str) -> asyncio.Future[None]:
        """Answer an older request for `uri` with null, and make place for a newer one."""
        older = self._newest.get(uri)
        if older is not None and not older.done():
            older.set_result(None)
        self._newest[uri] = asyncio.get_running_loop().create_future()
        return self._newest[uri]

    def _reply(
        self, document: Document, inquiry: Inquiry | None, found: list[Completion], source: Source, began: float
    ) -> types.InlineCompletionList:
        """The protocol's answer. An automatic one leaves out what is too unlikely to be right."""
        invoked = inquiry is not None and inquiry.invoked
        if not invoked:
            found = [item for item in found if chance(item) >= self.settings.confidence]
        if inquiry is not None and inquiry.chosen:
            found = [
                replace(item, text=inquiry.chosen + item.text, start=inquiry.start, end=inquiry.end) for item in found
            ]
        shown = [self._remember(document, item) for item in found]
        answered = Answered(
            uri=document.uri,
            language=document.language,
            items=tuple(shown),
            source=source,
            seconds=self._clock() - began,
            invoked=invoked,
        )
        for listener in self.on_answer:
            listener(answered)
        items = [self._item(item, document, known.id) for item, known in zip(found, shown, strict=True)]
        return types.InlineCompletionList(items=items)

    def _remember(self, document: Document, completion: Completion) -> Shown:
        shown = Shown(
            id=str(next(self._ids)),
            uri=document.uri,
            language=document.language,
            text=completion.text,
            offset=completion.start,
            revision=document.revision,
            kind=completion.kind,
            score=completion.score,
        )
        self._shown[shown.id] = shown
        while len(self._shown) > _REMEMBERED:
            self._shown.popitem(last=False)
        return shown

    def _item(self, completion: Completion, document: Document, identifier: str) -> types.InlineCompletionItem:
        start = types.Position(*document.position_at(completion.start, self._encoding))
        end = types.Position(*document.position_at(completion.end, self._encoding))
        return types.InlineCompletionItem(
            insert_text=completion.text,
            range=types.Range(start=start, end=end),
            command=types.Command(title="Completion accepted", command=ACCEPTED, arguments=[identifier]),
        )
