"""What runs beside the completions of a session: switches, figures, and the status of each document."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from .documents import Document
from .status import DOCUMENT_STATUS
from .switches import Switches
from .usage import Usage
from .usage_log import UsageLog, usage_file
from .usage_report import usage_report

if TYPE_CHECKING:
    from .session import Session
    from .status import Status

MAX_SNOOZE_MINUTES = 24 * 60
_Form = TypeVar("_Form")


class Switch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Argument of `diffill.enable` and `diffill.disable`. `value` is a language id, or the URI of a file or folder."""

    scope: Literal["session", "language", "path"] = "session"
    value: str = ""


class Snooze(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Argument of `diffill.snooze`; 0 minutes end it."""

    minutes: float


class _Identifier(msgspec.Struct, frozen=True, kw_only=True):
    uri: str


class _Focus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    text_document: _Identifier | None = None


class _Command(msgspec.Struct, frozen=True, kw_only=True):
    arguments: tuple[str]


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    command: _Command


class _Partial(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    item: _Item
    accepted_length: int


class Service:
    """The switches and the figures of one session, and the status of its documents."""

    def __init__(
        self,
        session: Session,
        status: Status,
        *,
        notify: Callable[[str, object], None],
        in_background: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """
        Args:
            notify: sends the client a notification: method and parameters.
            in_background: does something that nobody waits for, until the connection ends.
        """
        self._session = session
        self._status = status
        self._notify = notify
        self._in_background = in_background
        self.switches = Switches()
        self.usage = Usage(session.documents, UsageLog(usage_file()))
        self._announced: dict[str, str | None] = {}
        session.silencers.append(self.switches.is_silent)
        session.completions.silencers.append(self.switches.is_silent)
        session.completions.on_answer.append(self.usage.answered)
        session.completions.on_accept.append(self.usage.accepted)
        session.on_repair.append(self.usage.repaired)
        session.on_settings.append(self.switches.take_settings)
        session.on_settings.append(lambda settings: self.usage.switch(on=settings.statistics))
        session.on_close.append(self.usage.close)
        session.documents.listeners.append(self)
        self.switches.listeners.append(self._switched)

    def opened(self, document: Document) -> None:
        self.announce(document)

    def edited(self, document: Document, edit: object) -> None:
        """The status of a document does not depend on its text."""

    def closed(self, document: Document) -> None:
        self._announced.pop(document.uri, None)

    def announce(self, document: Document, *, again: bool = False) -> None:
        """Tell the client whether something is offered in a document, if that is news or was asked for."""
        reason = self.switches.why_silent(document)
        if (
            again
            or self._announced.get(document.uri, None) != reason
            or (document.uri not in self._announced and reason)
        ):
            params = {"uri": document.uri, "enabled": reason is None, "message": reason or ""}
            self._notify(DOCUMENT_STATUS, params)
        self._announced[document.uri] = reason

    def _switched(self) -> None:
        self._status.take_silence(self.switches.why_all_silent())
        for document in self._session.documents:
            self.announce(document)

    def switch(self, arguments: object, *, on: bool) -> None:
        """Switch the session, a language or a path; the session where nothing is named.

        Raises:
            JsonRpcInvalidParams: the argument is not a `Switch`; as of every method here that takes parameters.
        """
        wanted = _read(arguments or [{}], tuple[Switch])[0]
        if wanted.scope == "session":
            self.switches.switch_session(on=on)
        elif not wanted.value:
            raise JsonRpcInvalidParams(f"value: the {wanted.scope} is expected")
        elif wanted.scope == "language":
            self.switches.switch_language(wanted.value, on=on)
        else:
            self.switches.switch_path(wanted.value, on=on)

    def snooze(self, arguments: object) -> float:
        """Keep quiet, and speak again by itself. Returns the Unix time of the end."""
        minutes = _read(arguments, tuple[Snooze])[0].minutes
        if not 0 <= minutes <= MAX_SNOOZE_MINUTES:
            raise JsonRpcInvalidParams(f"minutes: {minutes:g} is not between 0 and {MAX_SNOOZE_MINUTES}")
        until = self.switches.snooze(minutes * 60)
        if minutes:
            self._in_background(self.switches.wake_later(minutes * 60))
        return until

    def figures(self) -> object:
        """What `diffill stats --json` prints.

        Raises:
            JsonRpcException: the file cannot be read.
        """
        self.usage.flush()
        try:
            return msgspec.to_builtins(usage_report())
        except OSError as error:
            failed = types.LSPErrorCodes.RequestFailed.value
            raise JsonRpcException(f"the figures cannot be read: {error.strerror}", failed) from None

    def focus(self, params: object) -> None:
        """The person looks at a document, or at none: say whether something is offered there."""
        looked_at = _read(params, _Focus).text_document
        document = self._session.documents.get(looked_at.uri) if looked_at is not None else None
        if document is not None:
            self.announce(document, again=True)

    def accepted_in_part(self, params: object) -> None:
        """The person took the beginning of a completion, word by word for example."""
        partial = _read(params, _Partial)
        shown = self._session.completions.shown(partial.item.command.arguments[0])
        if shown is not None:
            self.usage.accepted_in_part(shown.language, min(len(shown.text), max(0, partial.accepted_length)))


def _read(value: object, form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        raise JsonRpcInvalidParams(f"arguments: {error}") from None
