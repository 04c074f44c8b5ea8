"""What the editor's own tools say of a repair once it is applied: most of them cannot be asked about a text before."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec
from pygls.exceptions import JsonRpcInvalidParams

from .repair.fault import normal_words
from .tasks import Range, Task

if TYPE_CHECKING:
    from .documents import Document, Documents, Edit
    from .repair.repair import Repair

log = logging.getLogger(__name__)

SETTLE_SECONDS = 1.5
"""Tools report one after the other; after so long without a report what is there counts."""
PATIENCE_SECONDS = 10.0
"""So long a tool may take to withdraw what it said before the repair."""
MAX_WATCHED = 8
WARNING = 2
Key = tuple[str, str, str]


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One diagnostic, as the client has it."""

    range: Range
    message: str
    source: str | None = None
    code: str | int | None = None
    severity: int | None = None

    @property
    def key(self) -> Key:
        """What tells it from others when lines have moved."""
        return _key(self.source or "", "" if self.code is None else str(self.code), self.message)

    @property
    def is_grave(self) -> bool:
        """An error or a warning. Hints come and go with every edit."""
        return self.severity is None or self.severity <= WARNING


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of `diffill/diagnostics`: all that the client's tools report about a document now."""

    uri: str
    diagnostics: tuple[Said, ...]


def read_report(params: object) -> Report:
    """
    Raises:
        JsonRpcInvalidParams: these are not the parameters; the message names the member.
    """
    try:
        return msgspec.convert(params, Report)
    except msgspec.ValidationError as error:
        raise JsonRpcInvalidParams(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A repair that was applied, and what a tool says against it."""

    task: Task
    reason: str
    before: str
    """The text without the repair."""
    text: str
    """The text with it."""


class Timer(Protocol):
    def cancel(self) -> None: ...


@dataclass(eq=False, kw_only=True)
class _Watched:
    """One repair that was handed out."""

    task: Task
    version: int
    before: str
    text: str
    line: int
    """Where the fault is in `text`."""
    verified: bool
    said: Counter[Key]
    """What was reported before."""
    applied: float | None = None
    """When the document became `text`; None before, and after anything else was typed."""
    heard: bool = False
    """Some tool has reported since."""
    timer: Timer | None = None

    @property
    def target(self) -> Key:
        return _key(self.task.source, self.task.code, self.task.message)


@dataclass(kw_only=True)
class AppliedRepairs:
    """The repairs of one session that were handed out, until the tools have spoken.

    A client that sends `diffill/diagnostics` tells all that is reported; from any other it is known only where it asks
    for actions, and there alone whether the diagnostic is still reported.
    """

    documents: Documents
    on_doubt: list[Callable[[Doubt], None]] = field(default_factory=list)
    later: Callable[[float, Callable[[], None]], Timer] | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._watched: list[_Watched] = []
        self._said: dict[str, Sequence[Said]] = {}
        self._doubted: list[tuple[str, str]] = []
        self.documents.listeners.append(self)

    def handed_out(self, task: Task, document: Document, found: Repair) -> None:
        """A repair is on its way to the editor, which may apply it or not. `document` is as it was when it was made."""
        start, _ = document.line_span(task.range.start.line)
        above = [edit for edit in found.edits if edit.end <= start]
        grown = sum(edit.text.count("\n") - document.text.count("\n", edit.start, edit.end) for edit in above)
        watched = _Watched(
            task=task,
            version=document.version,
            before=document.text,
            text=found.text,
            line=task.range.start.line + grown,
            verified=found.verified,
            said=_keys(self._said.get(task.uri, ())),
        )
        for older in [other for other in self._of(task.uri) if other.text == found.text]:
            self._drop(older)
        self._watched.append(watched)
        if len(self._watched) > MAX_WATCHED:
            self._drop(self._watched[0])

    def refused(self, uri: str) -> set[str]:
        """Texts of a document that a tool has spoken against: not to be offered again."""
        return {text for document, text in self._doubted if document == uri}

    def told(self, uri: str, diagnostics: Sequence[Said]) -> None:
        """The client says all that its tools report about a document now."""
        document = self.documents.get(uri)
        if document is None:
            return
        self._said[uri] = diagnostics
        for watched in self._of(uri):
            if watched.applied is not None:
                watched.heard = True
                self._look_later(watched, SETTLE_SECONDS)
            elif watched.version == document.version:
                watched.said = _keys(diagnostics)

    def asked(self, uri: str, lines: tuple[int, int], diagnostics: Sequence[Said]) -> None:
        """The client asks for actions at `lines` and says what is reported there, which is all that some ever say."""
        keys = {said.key for said in diagnostics}
        for watched in self._of(uri):
            if uri in self._said or watched.applied is None or not lines[0] <= watched.line <= lines[1]:
                continue
            if watched.target not in keys:
                self._drop(watched)
            elif self.clock() - watched.applied >= PATIENCE_SECONDS and not watched.verified:
                self._doubt(watched, _still(watched.task))

    # What the editor does to its documents.

    def opened(self, document: Document) -> None:
        """Nothing was repaired in it yet."""

    def edited(self, document: Document, edit: Edit) -> None:
        for watched in self._of(document.uri):
            is_applied = len(document.content) == len(watched.text) and document.text == watched.text
            watched.applied = self.clock() if is_applied else None
            watched.heard = False

    def closed(self, document: Document) -> None:
        for watched in self._of(document.uri):
            self._drop(watched)
        self._said.pop(document.uri, None)
        self._doubted = [(uri, text) for uri, text in self._doubted if uri != document.uri]

    def close(self) -> None:
        """Stop waiting."""
        for watched in list(self._watched):
            self._drop(watched)

    def _of(self, uri: str) -> list[_Watched]:
        return [watched for watched in self._watched if watched.task.uri == uri]

    def _look_later(self, watched: _Watched, seconds: float) -> None:
        if watched.timer is not None:
            watched.timer.cancel()
        later = self.later or asyncio.get_running_loop().call_later
        watched.timer = later(seconds, lambda: self._look(watched))

    def _look(self, watched: _Watched) -> None:
        """Judge by all that is reported now, or wait on."""
        if watched.applied is None or not watched.heard:
            return
        said = self._said[watched.task.uri]
        now = _keys(said)
        new = _keys([one for one in said if one.is_grave]) - watched.said
        left = watched.applied + PATIENCE_SECONDS - self.clock()
        if new:
            source, _, message = next(iter(new))
            self._doubt(watched, f"{source or 'a tool'} now reports: {_line(message)}")
        elif watched.verified or not now[watched.target] or now[watched.target] < watched.said[watched.target]:
            log.info("a repair was confirmed by the editor's tools")
            self._drop(watched)
        elif left > 0:
            self._look_later(watched, left)
        else:
            self._doubt(watched, _still(watched.task))

    def _doubt(self, watched: _Watched, reason: str) -> None:
        self._drop(watched)
        self._doubted = [*self._doubted, (watched.task.uri, watched.text)][-MAX_WATCHED:]
        log.info("the editor's tools speak against a repair")
        for listener in self.on_doubt:
            listener(Doubt(task=watched.task, reason=reason, before=watched.before, text=watched.text))

    def _drop(self, watched: _Watched) -> None:
        if watched.timer is not None:
            watched.timer.cancel()
        self._watched.remove(watched)


def _still(task: Task) -> str:
    return f"{task.source or 'the tool'} still reports: {_line(task.message)} (some tools look only after saving)"


def _line(message: str) -> str:
    return " ".join(message.split())


def _key(source: str, code: str, message: str) -> Key:
    return source, code, normal_words(message)


def _keys(diagnostics: Sequence[Said]) -> Counter[Key]:
    return Counter(said.key for said in diagnostics)
