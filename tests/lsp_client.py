"""A language client that shares no code with the server: the real process, and JSON-RPC over its pipes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psutil

from tests.engine_process import FAKE_ENGINE, processes_in

HANG_GUARD_SECONDS = 60.0
SERVER = (sys.executable, "-m", "diffill.lsp_server")
Message = dict[str, Any]


class ServerEnded(Exception):
    """The server closed its output while something was waited for."""


class LspClient:
    """One server process. Messages from it are kept, so that nothing is missed whatever the order."""

    def __init__(
        self,
        *,
        environment: dict[str, str] | None = None,
        configuration: Any = None,
        answers_requests: bool = True,
        directory: str | None = None,
    ) -> None:
        self.configuration = configuration
        """Answer to `workspace/configuration`."""
        self.answers_requests = answers_requests
        self.environment = environment or {}
        self.runtime = ""
        """Directory of the engine's socket."""
        self.received: list[Message] = []
        self._incoming: queue.Queue[Message | None] = queue.Queue()
        self._next_id = 0
        self.process = subprocess.Popen(
            SERVER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
            cwd=directory,
        )
        self._stderr: list[bytes] = []
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._read, self._read_stderr)]
        for thread in self._threads:
            thread.start()

    # Sending

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, *messages: Message) -> None:
        """All in one write, so that the server finds them together."""
        self.send_bytes(b"".join(framed(json.dumps({"jsonrpc": "2.0", **message}).encode()) for message in messages))

    def notify(self, method: str, params: Any = None) -> None:
        self.send({"method": method, "params": params})

    def start_request(self, method: str, params: Any = None) -> int:
        """Send a request and return its id; `answer` waits for what comes back."""
        self._next_id += 1
        self.send({"id": self._next_id, "method": method, "params": params})
        return self._next_id

    def cancel(self, request_id: int) -> None:
        self.notify("$/cancelRequest", {"id": request_id})

    # Receiving

    def answer(self, request_id: int | None) -> Message:
        """The whole response message."""
        return self.wait(lambda message: "method" not in message and message.get("id", 0) == request_id)

    def request(self, method: str, params: Any = None) -> Any:
        """The result of a request that must succeed."""
        response = self.answer(self.start_request(method, params))
        assert "error" not in response, response
        return response.get("result")

    def error(self, method: str, params: Any = None) -> Message:
        """The error of a request that must fail."""
        response = self.answer(self.start_request(method, params))
        assert "error" in response, response
        error: Message = response["error"]
        return error

    def notification(self, method: str, matches: Callable[[Any], bool] = lambda params: True) -> Any:
        """Parameters of the first notification or request of this kind, past or to come."""
        found = self.wait(lambda message: message.get("method") == method and matches(message.get("params")))
        return found.get("params")

    def notifications(self, method: str) -> list[Any]:
        """Parameters of all that came so far."""
        return [message.get("params") for message in self.received if message.get("method") == method]

    def wait(self, matches: Callable[[Message], bool]) -> Message:
        for message in self.received:
            if matches(message):
                return message
        while True:
            message = self._incoming.get(timeout=HANG_GUARD_SECONDS)
            if message is None:
                self._incoming.put(None)
                raise ServerEnded(self.stderr)
            self.received.append(message)
            if matches(message):
                return message

    def exit_code(self) -> int:
        """Wait for the process to end."""
        code = self.process.wait(timeout=HANG_GUARD_SECONDS)
        for thread in self._threads:
            thread.join(timeout=HANG_GUARD_SECONDS)
        return code

    @property
    def stderr(self) -> str:
        return b"".join(self._stderr).decode(errors="replace")

    # The usual steps

    def initialize(
        self, *, encodings: list[str] | None = None, options: Any = None, capabilities: Any = None, **params: Any
    ) -> Message:
        general = {} if encodings is None else {"positionEncodings": encodings}
        result: Message = self.request(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": None,
                "capabilities": {"general": general, **(capabilities or {})},
                "initializationOptions": options,
                **params,
            },
        )
        self.notify("initialized", {})
        return result

    def wait_ready(self) -> None:
        self.notification("diffill/status", lambda params: params["state"] == "ready")

    def open(self, text: str, *, uri: str = "file:///work.py", language: str = "python", version: int = 1) -> str:
        item = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})
        return uri

    def change(self, uri: str, version: int, *changes: Message) -> None:
        identifier = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": identifier, "contentChanges": list(changes)})

    def shut_down(self) -> int:
        self.request("shutdown")
        self.notify("exit")
        return self.exit_code()

    def close(self) -> None:
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        self.exit_code()

    # Threads

    def _read(self) -> None:
        assert self.process.stdout is not None
        stream = self.process.stdout
        while header := stream.readline():
            length = 0
            while header.strip():
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                header = stream.readline()
            message = json.loads(stream.read(length))
            if "method" in message and "id" in message and self.answers_requests:
                self._answer_server(message)
            self._incoming.put(message)
        self._incoming.put(None)

    def _answer_server(self, message: Message) -> None:
        known = {"workspace/configuration": [self.configuration], "workspace/applyEdit": {"applied": True}}
        result = known.get(message["method"])
        with contextlib.suppress(OSError):
            self.send({"id": message["id"], "result": result})

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        while chunk := self.process.stderr.read1():
            self._stderr.append(chunk)


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body) + body


def inline_params(uri: str, line: int, character: int, *, invoked: bool = False, **context: Any) -> Message:
    return {
        "textDocument": {"uri": uri},
        "position": {"line": line, "character": character},
        "context": {"triggerKind": 1 if invoked else 2, **context},
    }


def insert(line: int, character: int, text: str, *, end: tuple[int, int] | None = None) -> Message:
    """A content change."""
    end_line, end_character = end or (line, character)
    start = {"line": line, "character": character}
    return {"range": {"start": start, "end": {"line": end_line, "character": end_character}}, "text": text}


@contextlib.contextmanager
def lsp_client(
    *, configuration: Any = None, answers_requests: bool = True, directory: str | None = None, **fake: str
) -> Iterator[LspClient]:
    """A server with its own fake engine and its own figures.

    `fake` are the settings of the fake engine, in lower case: `answer`, `delay`, …
    """
    # Not pytest's directory: the path of a socket has about a hundred bytes at most.
    with tempfile.TemporaryDirectory(prefix="dfl-", ignore_cleanup_errors=True) as runtime:
        client = LspClient(
            environment={
                "DIFFILL_RUNTIME_DIR": runtime,
                "DIFFILL_STATE_DIR": f"{runtime}/state",
                "DIFFILL_ENGINE_COMMAND": shlex.join(FAKE_ENGINE),
                **{f"DIFFILL_FAKE_{name.upper()}": value for name, value in fake.items()},
            },
            configuration=configuration,
            answers_requests=answers_requests,
            directory=directory,
        )
        client.runtime = runtime
        try:
            yield client
        finally:
            client.close()
            for process in engine_processes(client):
                process.kill()


def engine_processes(client: LspClient) -> list[psutil.Process]:
    """The engine processes that were started for this client's runtime directory."""
    return [process for process in processes_in(client.runtime) if process.pid != client.process.pid]
