"""JSON-RPC as the specification has it, on top of pygls, which leaves broken and untimely messages unanswered."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Generator
from typing import Any

from cattrs import transform_error
from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import lsp_method

from .document_sync import DocumentSync
from .frames import FrameError
from .positions import ENCODINGS

log = logging.getLogger(__name__)

PARSE_ERROR = types.ErrorCodes.ParseError.value
INVALID_REQUEST = types.ErrorCodes.InvalidRequest.value
METHOD_NOT_FOUND = types.ErrorCodes.MethodNotFound.value
INVALID_PARAMS = types.ErrorCodes.InvalidParams.value
INTERNAL_ERROR = types.ErrorCodes.InternalError.value
NOT_INITIALIZED = types.ErrorCodes.ServerNotInitialized.value


class Protocol(DocumentSync):
    """One connection: which messages are due, what each is answered, and the documents that it has open."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.ended = asyncio.Event()
        """Set by `exit`, and by whoever finds that nobody is listening any more."""
        self._initialized = False

    @property
    def exit_code(self) -> int:
        """0 after an orderly `shutdown`, else 1."""
        return 0 if self._shutdown else 1

    def receive(self, body: bytes | FrameError) -> None:
        """Handle one message. Never raises: whatever arrives is answered or ignored as the specification says."""
        if isinstance(body, FrameError):
            if body.head:
                self._forget(body.head)
            self._refuse(None, PARSE_ERROR, str(body))
            return
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(None, PARSE_ERROR, "the message is not JSON")
            return
        try:
            self._dispatch(message)
        except Exception as error:  # one message must not end the connection
            log.error("a message could not be handled: %s", type(error).__name__)
            if isinstance(message, dict) and "method" in message and "id" in message:
                self._refuse(message["id"], INTERNAL_ERROR, "")

    def _forget(self, head: bytes) -> None:
        """Close what a message that was too long may have been about: the text here is not the editor's any more."""
        head = head.replace(b"\\/", b"/")  # as some editors write it
        named = [
            document.uri
            for document in self.documents
            if json.dumps(document.uri, ensure_ascii=False).encode("utf-8", "replace") in head
        ]
        for uri in named or [document.uri for document in self.documents]:
            self.documents.close(uri)

    def _dispatch(self, message: Any) -> None:
        if not isinstance(message, dict) or message.get("jsonrpc") != self.VERSION:
            self._refuse(None, INVALID_REQUEST, "the message is not a JSON-RPC 2.0 object")
            return
        message_id = message.get("id")
        if message_id is not None and (isinstance(message_id, bool) or not isinstance(message_id, (int, str))):
            self._refuse(None, INVALID_REQUEST, "id: it is neither a whole number nor a string")
            return
        method = message.get("method")
        if method is None:
            self._take_response(message)
        elif not isinstance(method, str):
            self._refuse(message_id, INVALID_REQUEST, "method: it is not a string")
        elif message_id is None:
            self._take_notification(method, message)
        else:
            self._take_request(message_id, method, message)

    def _take_request(self, message_id: int | str, method: str, message: dict[str, Any]) -> None:
        if self._shutdown:
            self._refuse(message_id, INVALID_REQUEST, f"{method}: the server was shut down")
        elif method == types.INITIALIZE and self._initialized:
            self._refuse(message_id, INVALID_REQUEST, f"{method}: the server is initialized already")
        elif method != types.INITIALIZE and not self._initialized:
            self._refuse(message_id, NOT_INITIALIZED, f"{method}: the server is not initialized yet")
        elif not self._is_known(method):
            self._refuse(message_id, METHOD_NOT_FOUND, f"{method}: the method is not known")
        else:
            try:
                request = self.structure_message(message)
            except JsonRpcException as error:
                self._refuse(message_id, INVALID_PARAMS, f"{method}: {_reason(error)}")
                return
            self._initialized = True
            self.handle_message(request)

    def _take_notification(self, method: str, message: dict[str, Any]) -> None:
        if method == types.EXIT:
            self.ended.set()
        elif self._initialized and not self._shutdown and (method == types.CANCEL_REQUEST or self._is_known(method)):
            try:
                notification = self.structure_message(message)
            except JsonRpcException as error:
                log.warning("%s: %s", method, _reason(error))
                return
            self.handle_message(notification)

    def _take_response(self, message: dict[str, Any]) -> None:
        try:
            response = self.structure_message(message)
        except JsonRpcException:
            # Whoever waits for this answer must learn that it will never come.
            problem = types.ResponseError(code=INVALID_PARAMS, message="the answer does not have the form of its kind")
            self._handle_response(message["id"], error=problem)
            return
        self.handle_message(response)

    def _handle_response(
        self, msg_id: int | str, result: Any | None = None, error: types.ResponseError | None = None
    ) -> None:
        """An answer that comes after its time has nobody to take it; pygls would raise."""
        waiting = self._request_futures.get(msg_id)
        if waiting is not None and waiting.cancelled():
            del self._request_futures[msg_id]
            return
        super()._handle_response(msg_id, result, error)

    def _is_known(self, method: str) -> bool:
        return method in self.fm.builtin_features or method in self.fm.features

    def _refuse(self, message_id: int | str | None, code: int, reason: str) -> None:
        if message_id is None:
            # pygls leaves out an id that is null, and JSON-RPC asks for it.
            self._send_data({"jsonrpc": self.VERSION, "id": None, "error": {"code": code, "message": reason}})
        else:
            self._send_response(message_id, error=types.ResponseError(code=code, message=reason))

    def _send_response(
        self, msg_id: int | str, result: Any | None = None, error: types.ResponseError | None = None
    ) -> None:
        """The one door for answers: pygls would send the text and traceback of an exception, private code and all."""
        if error is not None:
            internal = error.code == INTERNAL_ERROR
            reason = "internal error; the server's log names it" if internal else " ".join(error.message.split())
            error = types.ResponseError(code=error.code, message=reason)
        super()._send_response(msg_id, result, error)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        """Negotiate, then drop what pygls advertises without being asked."""
        result = yield from super().lsp_initialize(params)
        chosen = result.capabilities.position_encoding
        self.encoding = next((encoding for encoding in ENCODINGS if encoding == chosen), "utf-16")
        if not self.fm.commands:
            result.capabilities.execute_command_provider = None
        return result


def _reason(error: JsonRpcException) -> str:
    """Which member of a message is missing or wrong, without its value."""
    cause = error.__cause__
    if cause is None:
        return "the parameters cannot be read"
    lines = transform_error(cause, path="message")
    return lines[0] if lines else "the parameters cannot be read"
