"""The language server within the process that measures it: neither pipes nor other processes take part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from diffill.lsp_server.server import create_server
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import DecodeRequest, DecodeResult, Step
from diffill.model.tokenizer import Tokenizer
from tests.stand_in import ReadyClient, result_of

Message = dict[str, Any]


class InstantEngine(ReadyClient):
    """Answers at once, always the same."""

    def __init__(self, tokenizer: Tokenizer, answer: str) -> None:
        self._answers = {space: tokenizer.encode(" " * space + answer) for space in (False, True)}

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        return result_of(self._answers[request.starts_with_space])


class ServerInside:
    """Speaks with the server as `tests.lsp_client.LspClient` does, by calling it."""

    def __init__(self, answer: str) -> None:
        self.received: list[Message] = []
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._server = create_server()
        tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)
        _ = tokenizer.ends_line
        self._server._connect = lambda: (InstantEngine(tokenizer, answer), tokenizer)  # type: ignore[method-assign]
        self._server.protocol.set_writer(self)
        self.send(
            {
                "id": 0,
                "method": "initialize",
                "params": {
                    "processId": None,
                    "capabilities": {},
                    "initializationOptions": {"delay": 0, "statistics": False},
                },
            }
        )
        self.answer(0)
        self.send({"method": "initialized", "params": {}})
        while not any(message.get("params", {}).get("state") == "ready" for message in self.received):
            self._loop.run_until_complete(asyncio.sleep(0.01))

    def write(self, data: bytes) -> None:
        """What the server sends."""
        self.received.append(json.loads(data.partition(b"\r\n\r\n")[2]))

    def close(self) -> None: ...

    def send(self, *messages: Message) -> None:
        self._loop.run_until_complete(
            self._feed([json.dumps({"jsonrpc": "2.0", **message}).encode() for message in messages])
        )

    def answer(self, identifier: int) -> Message:
        return self._loop.run_until_complete(self._answer(identifier))

    def open(self, text: str, *, uri: str) -> None:
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.send({"method": "textDocument/didOpen", "params": {"textDocument": item}})

    async def _feed(self, bodies: list[bytes]) -> None:
        for body in bodies:
            self._server.protocol.receive(body)
            await asyncio.sleep(0)  # as the server's own loop does

    async def _answer(self, identifier: int) -> Message:
        while True:
            for message in self.received:
                if message.get("id") == identifier and "method" not in message:
                    return message
            await asyncio.sleep(0)
