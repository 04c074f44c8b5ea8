"""Listens to a session and keeps figures: what was answered and accepted, and what is left of it later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .documents import Document, Documents, Edit
from .retention import CHECKPOINTS, Survivors
from .usage_log import Accepted, Answered, Repaired, Retained, UsageLog

if TYPE_CHECKING:
    from . import events
    from .session import RepairOutcome

FLUSH_SECONDS = 5.0
MAX_WATCHED = 200
"""Accepted completions watched at a time; with more the oldest is given up."""


@dataclass(frozen=True, kw_only=True)
class _Watched:
    document: Document
    language: str
    survivors: Survivors
    timers: list[asyncio.TimerHandle]


class Usage:
    """One session's figures. `later` runs something after so many seconds, `now` is Unix time."""

    def __init__(
        self,
        documents: Documents,
        log: UsageLog,
        *,
        later: Callable[[float, Callable[[], None]], asyncio.TimerHandle] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._documents = documents
        self._log = log
        self._later = later or asyncio.get_running_loop().call_later
        self._now = now
        self._watched: list[_Watched] = []
        self._on = True
        self._flushing: asyncio.TimerHandle | None = None
        documents.listeners.append(self)

    def switch(self, *, on: bool) -> None:
        """Note what happens, or do not."""
        self._on = on

    def answered(self, answer: events.Answered) -> None:
        """A request for completions was answered."""
        self._add(
            Answered(
                at=self._now(),
                language=answer.language,
                source=answer.source,
                ms=answer.seconds * 1000,
                invoked=answer.invoked,
                items=len(answer.items),
            )
        )

    def accepted(self, shown: events.Shown) -> None:
        """A completion was inserted. Its characters are watched where they stand in the text as they were shown."""
        self._add(Accepted(at=self._now(), language=shown.language, characters=len(shown.text)))
        document = self._documents.get(shown.uri)
        inserted = document.typed_since(shown.revision, shown.offset) if document is not None else None
        if document is None or inserted is None or not inserted[0].startswith(shown.text):
            return
        typed, end = inserted
        survivors = Survivors(start=end - len(typed), length=len(shown.text))
        watched = _Watched(document=document, language=shown.language, survivors=survivors, timers=[])
        watched.timers.extend(self._later(after, self._checkpoint(watched, after)) for after in CHECKPOINTS)
        self._watched.append(watched)
        if len(self._watched) > MAX_WATCHED:
            self._give_up(self._watched[0])

    def accepted_in_part(self, language: str, characters: int) -> None:
        """The person took so many characters of a completion."""
        self._add(Accepted(at=self._now(), language=language, characters=characters, whole=False))

    def repaired(self, language: str, kind: str, seconds: float, outcome: RepairOutcome) -> None:
        """A repair was looked for."""
        self._add(Repaired(at=self._now(), language=language, kind=kind, ms=seconds * 1000, outcome=outcome))

    def opened(self, document: Document) -> None:
        """Nothing of a new document was accepted yet."""

    def edited(self, document: Document, edit: Edit) -> None:
        for watched in self._watched:
            if watched.document is document:
                watched.survivors.edited(edit)

    def closed(self, document: Document) -> None:
        """What happens to the text from now on is not seen."""
        for watched in [watched for watched in self._watched if watched.document is document]:
            self._give_up(watched)

    def flush(self) -> None:
        """Write what was noted."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._log.flush()

    def close(self) -> None:
        """Write what is left."""
        for watched in list(self._watched):
            self._give_up(watched)
        self.flush()

    def _checkpoint(self, watched: _Watched, after: int) -> Callable[[], None]:
        def measure() -> None:
            self._add(
                Retained(
                    at=self._now(),
                    language=watched.language,
                    after=after,
                    characters=watched.survivors.length,
                    retained=watched.survivors.characters,
                )
            )
            if after == CHECKPOINTS[-1]:
                self._give_up(watched)

        return measure

    def _give_up(self, watched: _Watched) -> None:
        for timer in watched.timers:
            timer.cancel()
        self._watched.remove(watched)

    def _add(self, event: Answered | Accepted | Retained | Repaired) -> None:
        if not self._on:
            return
        self._log.add(event)
        if self._flushing is None:
            self._flushing = self._later(FLUSH_SECONDS, self.flush)
