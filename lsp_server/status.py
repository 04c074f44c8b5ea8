"""What the editor shows of the server: loading, ready, at work, kept quiet, or failed; and why."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .warm_engine import Readiness

STATUS = "diffill/status"
"""Notification to the client: `{"state": "loading" | "ready" | "busy" | "disabled" | "failed", "percentage": 0 to 100,
"message": string}`.

Sent when one of them changes. `message` is one line to show: the step, the model and its device, the work, the reason.
"""
DOCUMENT_STATUS = "diffill/documentStatus"
"""Notification to the client: `{"uri", "enabled": boolean, "message": why nothing is offered in that document}`."""


class Status:
    """One connection's status. A failure outranks everything, then loading, being kept quiet, and work."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send
        self._readiness: dict[str, Any] = {"state": "loading", "percentage": 0, "message": ""}
        self._work: list[str] = []
        self._silence: str | None = None
        self._sent: dict[str, Any] | None = None

    @property
    def params(self) -> dict[str, Any]:
        """What is the case now, as the notification has it."""
        if self._readiness["state"] != "ready":
            return self._readiness
        if self._silence is not None:
            return {**self._readiness, "state": "disabled", "message": self._silence}
        if self._work:
            return {**self._readiness, "state": "busy", "message": self._work[-1]}
        return self._readiness

    def take_readiness(self, readiness: Readiness, *, device_is_chosen: bool) -> None:
        """The engine got on, or did not. A device that the machine fell back to is explained."""
        message = readiness.message
        if readiness.state == "ready" and readiness.device == "cpu" and not device_is_chosen:
            message += ", because no accelerator can be used; `diffill doctor` says why"
        self._readiness = {"state": readiness.state, "percentage": readiness.percentage, "message": message}
        self._update()

    def take_silence(self, reason: str | None) -> None:
        """Nothing is offered anywhere, and why; None when something is."""
        self._silence = reason
        self._update()

    @contextlib.contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Busy with something that the person asked for, until it is done."""
        self._work.append(what)
        self._update()
        try:
            yield
        finally:
            self._work.remove(what)
            self._update()

    def _update(self) -> None:
        params = self.params
        if params != self._sent:
            self._sent = params
            self._send(params)
