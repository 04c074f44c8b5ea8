"""The server's log as `window/logMessage`; on standard error only while no client is there to take it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from lsprotocol import types

_LOGGER = logging.getLogger("diffill")
_TYPES = {
    logging.ERROR: types.MessageType.Error,
    logging.WARNING: types.MessageType.Warning,
    logging.INFO: types.MessageType.Info,
}


class ClientLogHandler(logging.Handler):
    """Sends each record as one line, without traceback: a traceback may quote the user's code."""

    def __init__(self, send: Callable[[types.LogMessageParams], None]) -> None:
        super().__init__()
        self._send = send

    def attach(self) -> None:
        """From here on every line goes to the client alone: editors take standard error for errors."""
        _LOGGER.addHandler(self)
        _LOGGER.propagate = False

    def detach(self) -> None:
        _LOGGER.removeHandler(self)
        _LOGGER.propagate = True

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = " ".join(record.getMessage().split())
            self._send(types.LogMessageParams(type=_TYPES.get(record.levelno, types.MessageType.Log), message=line))
        except Exception:
            self.handleError(record)


def silence_pygls() -> None:
    """pygls logs every message it sends and every one it cannot read, which is the user's code."""
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
