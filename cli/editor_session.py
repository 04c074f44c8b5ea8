"""The language server as an editor holds it: a process of its own, spoken to over its standard input and output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SERVER_COMMAND = (sys.executable, "-m", "diffill.lsp_server")
EXIT_SECONDS = 5.0
ANSWER_SECONDS = 120.0


class ServerError(Exception):
    """The server ended, did not answer in time, or answered a request with an error; one line."""


@dataclass(frozen=True, kw_only=True)
class GhostText:
    """One item of an inline completion."""

    text: str
    start: tuple[int, int]
    """0-based line and character (utf-16 units) where the replaced range starts."""
    end: tuple[int, int]


class EditorSession:
    """One editor window: initialises the server, mirrors a document, asks for inline completions.

    Use as `async with`; leaving it shuts the server down. `on_status` hears every `diffill/status` notification.
    """

    def __init__(
        self,
        *,
        command: tuple[str, ...] = SERVER_COMMAND,
        environment: dict[str, str] | None = None,
        directory: Path | None = None,
        settings: dict[str, object] | None = None,
        on_status: Callable[[dict[str, Any]], None] = lambda status: None,
    ) -> None:
        self._command = command
        self._environment = environment or {}
        self._directory = directory
        self._settings = settings or {}
        self._on_status = on_status
        self._process: asyncio.subprocess.Process | None = None
        self._readers: list[asyncio.Task[None]] = []
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last_request = 0
        self._versions: dict[str, int] = {}
        self._stderr: deque[str] = deque(maxlen=20)
        self._status: asyncio.Future[dict[str, Any]] | None = None

    async def __aenter__(self) -> EditorSession:
        self._status = asyncio.get_running_loop().create_future()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **self._environment},
            cwd=self._directory,
        )
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_stderr())]
        try:
            await self.request(
                "initialize",
                {
                    "processId": os.getpid(),
                    "rootUri": None,
                    "clientInfo": {"name": "diffill demo"},
                    "capabilities": {
                        "general": {"positionEncodings": ["utf-16"]},
                        "textDocument": {
                            "inlineCompletion": {},
                            "codeAction": {"dataSupport": True, "resolveSupport": {"properties": ["edit"]}},
                        },
                        "workspace": {"workspaceEdit": {"documentChanges": True}},
                    },
                    "initializationOptions": self._settings,
                },
            )
            self.notify("initialized", {})
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ServerError, asyncio.TimeoutError):
            await asyncio.wait_for(self.request("shutdown", None), EXIT_SECONDS)
            self.notify("exit", None)
        await self._end()

    async def wait_ready(self) -> None:
        """Wait until the server says that the model is loaded.

        Raises:
            ServerError: it says that it cannot be, or ends.
        """
        if self._status is None:
            raise ServerError("the session is not open")
        status = await self._status
        if status.get("state") == "failed":
            raise ServerError(str(status.get("message", "the engine failed")))

    def open(self, uri: str, language: str, text: str) -> None:
        self._versions[uri] = 1
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        """Replace a range, given in 0-based lines and utf-16 units."""
        self._versions[uri] += 1
        edit = {"range": {"start": _position(start), "end": _position(end)}, "text": text}
        document = {"uri": uri, "version": self._versions[uri]}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [edit]})

    def close(self, uri: str) -> None:
        del self._versions[uri]
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    async def inline_completion(self, uri: str, position: tuple[int, int]) -> list[GhostText]:
        """What would be shown as ghost text there, asked for as by a keystroke.

        Raises:
            ServerError: as `request`.
        """
        answer = await self.request(
            "textDocument/inlineCompletion",
            {
                "textDocument": {"uri": uri},
                "position": _position(position),
                "context": {"triggerKind": 2},  # Automatic
            },
        )
        items = answer.get("items", []) if isinstance(answer, dict) else answer or []
        return [_ghost_text(item, position) for item in items]

    async def fix(self, uri: str, diagnostic: dict[str, Any]) -> list[dict[str, Any]]:
        """The edits of `Fix this` for one diagnostic, in order; none when no safe fix was found.

        Raises:
            ServerError: as `request`.
        """
        params = {
            "textDocument": {"uri": uri},
            "range": diagnostic["range"],
            "context": {"diagnostics": [diagnostic], "only": ["quickfix"]},
        }
        actions = await self.request("textDocument/codeAction", params) or []
        if not actions:
            return []
        edit = (await self.request("codeAction/resolve", actions[0])).get("edit")
        return list(edit["documentChanges"][0]["edits"]) if edit else []

    async def request(self, method: str, params: object) -> Any:
        """Send a request and return its result.

        Raises:
            ServerError: an error response, no answer for a long time, or the server has ended.
        """
        self._last_request += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[self._last_request] = answer
        self._send({"id": self._last_request, "method": method, "params": params})
        try:
            return await asyncio.wait_for(answer, ANSWER_SECONDS)
        except asyncio.TimeoutError:
            raise ServerError(f"the language server did not answer {method}") from None

    def notify(self, method: str, params: object) -> None:
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, object]) -> None:
        if self._process is None or self._process.stdin is None or self._process.returncode is not None:
            raise ServerError(self._epitaph())
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def _read(self) -> None:
        stdout = self._process.stdout if self._process else None
        try:
            while stdout is not None:
                header = await stdout.readuntil(b"\r\n\r\n")
                lengths = [line[15:] for line in header.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                self._receive(json.loads(await stdout.readexactly(int(lengths[0]))))
        except asyncio.IncompleteReadError:
            reason = self._epitaph()
        except (asyncio.LimitOverrunError, ValueError, IndexError):
            reason = "the language server wrote something that is not a message"
        for waiting in [*self._answers.values(), *([self._status] if self._status else [])]:
            if not waiting.done():
                waiting.set_exception(ServerError(reason))
                waiting.exception()  # marked as seen: perhaps nobody waits for this one

    def _receive(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            answer = self._answers.pop(message.get("id", 0), None)
            if answer is None or answer.done():
                return
            if "error" in message:
                answer.set_exception(ServerError(str(message["error"].get("message", "error without a message"))))
            else:
                answer.set_result(message.get("result"))
        elif "id" in message:
            # Requests of the server: it asks for nothing that this editor supports, but waits for an answer.
            result = [None] if message["method"] == "workspace/configuration" else None
            self._send({"id": message["id"], "result": result})
        elif message["method"] == "diffill/status":
            self._on_status(message["params"])
            if message["params"].get("state") != "loading" and self._status is not None and not self._status.done():
                self._status.set_result(message["params"])

    async def _read_stderr(self) -> None:
        stderr = self._process.stderr if self._process else None
        while stderr is not None and (line := await stderr.readline()):
            self._stderr.append(line.decode("utf-8", "replace").strip())

    def _epitaph(self) -> str:
        last = next((line for line in reversed(self._stderr) if line), "")
        return f"the language server ended{': ' + last if last else ''}"

    async def _end(self) -> None:
        process = self._process
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), EXIT_SECONDS)
            except asyncio.TimeoutError:
                process.kill()
                await process.wait()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


def _position(place: tuple[int, int]) -> dict[str, int]:
    return {"line": place[0], "character": place[1]}


def _ghost_text(item: dict[str, Any], position: tuple[int, int]) -> GhostText:
    text = item["insertText"]
    place = item.get("range") or {"start": _position(position), "end": _position(position)}
    start, end = place["start"], place["end"]
    return GhostText(
        text=text if isinstance(text, str) else str(text.get("value", "")),
        start=(start["line"], start["character"]),
        end=(end["line"], end["character"]),
    )
