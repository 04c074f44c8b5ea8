"""What runs beside the completions: switches, snooze, status, figures, and what editors tell of their screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from ..parameters import plain

if TYPE_CHECKING:
    from ..server import Server
    from ..service import Service
    from ..session import Session


def register(server: Server) -> None:
    """Answer the commands `diffill.enable`, `.disable`, `.snooze`, `.status` and `.stats`, and what editors tell."""
    parts: list[Service] = []

    def start(session: Session) -> None:
        from ..service import Service
        from ..trace import Trace

        Trace(session, level=lambda: server.protocol.trace, send=server.log_trace)
        service = Service(session, server.status, notify=server.protocol.notify, in_background=server.in_background)
        parts.append(service)

    def service() -> Service:
        if not parts:
            raise JsonRpcException("the server has not started yet", types.ErrorCodes.ServerNotInitialized.value)
        return parts[0]

    server.on_session.append(start)

    @server.command("diffill.enable")
    def enable(*arguments: Any) -> dict[str, Any]:
        service().switch(plain(list(arguments)), on=True)
        return server.status.params

    @server.command("diffill.disable")
    def disable(*arguments: Any) -> dict[str, Any]:
        service().switch(plain(list(arguments)), on=False)
        return server.status.params

    @server.command("diffill.snooze")
    def snooze(*arguments: Any) -> dict[str, float]:
        return {"until": service().snooze(plain(list(arguments)))}

    @server.command("diffill.status")
    def status(*arguments: Any) -> dict[str, Any]:
        return server.status.params

    @server.command("diffill.stats")
    def stats(*arguments: Any) -> Any:
        return service().figures()

    @server.feature("textDocument/didFocus")
    def did_focus(params: Any) -> None:
        service().focus(plain(params))

    @server.feature("textDocument/didPartiallyAcceptCompletion")
    def did_partially_accept(params: Any) -> None:
        service().accepted_in_part(plain(params))

    @server.feature("textDocument/didShowCompletion")
    @server.feature("textDocument/didShowInlineEdit")
    def did_show(params: Any) -> None:
        """Some editors say what came to the screen. What was sent is counted, so nothing is added."""
