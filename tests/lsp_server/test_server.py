"""How the server is wired, and what of an exception reaches the client."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
from lsprotocol import types
from pygls.feature_manager import is_thread_function

from diffill.lsp_server.client_log import silence_pygls
from diffill.lsp_server.frames import FrameReader
from diffill.lsp_server.server import Server, create_server


class Recorder:
    """Takes what the server writes."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._frames = FrameReader()

    def write(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            assert isinstance(body, bytes)
            self.messages.append(json.loads(body))

    def close(self) -> None: ...


def exchange(server: Server, *messages: dict[str, Any], **capabilities: Any) -> list[dict[str, Any]]:
    """What the server answers to `initialize`, then what else it sends after `messages`."""

    async def talk() -> list[dict[str, Any]]:
        recorder = Recorder()
        server.protocol.set_writer(recorder)
        first = {"id": 0, "method": "initialize", "params": {"processId": None, "capabilities": capabilities}}
        for message in (first, *messages):
            server.protocol.receive(json.dumps({"jsonrpc": "2.0", **message}).encode())
            for _ in range(5):
                await asyncio.sleep(0)
        await server.close()
        return recorder.messages

    return asyncio.run(talk())


def loaded_after(statement: str) -> set[str]:
    script = f"{statement}; import sys; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout.split()
    )


def test_initialize_waits_for_no_heavy_import() -> None:
    heavy = {"torch", "numpy", "tokenizers", "tree_sitter", "msgspec", "websockets"}
    assert not heavy & loaded_after("import diffill.lsp_server.__main__, diffill.cli.lsp")


def test_the_whole_server_never_imports_torch() -> None:
    modules = "inline_completion, diffill.lsp_server.server, diffill.lsp_server.connection, diffill.model.client"
    assert "torch" not in loaded_after(f"import diffill.lsp_server.{modules}")


def test_no_handler_runs_on_a_pygls_thread() -> None:
    """Such a handler cannot be cancelled, delays the exit, and writes from the wrong thread over TCP and WebSocket."""
    server = create_server()
    features = server.protocol.fm.features
    assert types.TEXT_DOCUMENT_INLINE_COMPLETION in features
    assert not any(is_thread_function(handler) for handler in features.values())
    assert inspect.iscoroutinefunction(features[types.TEXT_DOCUMENT_INLINE_COMPLETION])
    exchange(server, {"id": 1, "method": "shutdown"})
    assert server._thread_pool is None


@pytest.mark.parametrize("is_async", [True, False])
def test_an_exception_says_nothing_to_the_client(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    silence_pygls()
    server = create_server()

    def fail(params: Any) -> None:
        raise RuntimeError("SECRET\nof the user")

    async def fail_later(params: Any) -> None:
        fail(params)

    server.feature(types.TEXT_DOCUMENT_HOVER)(fail_later if is_async else fail)
    params = {"textDocument": {"uri": "file:///SECRET"}, "position": {"line": 0, "character": 0}}
    (log_line,), (_, answer) = _split(exchange(server, {"id": 1, "method": "textDocument/hover", "params": params}))
    assert answer == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32603, "message": "internal error; the server's log names it"},
    }
    assert log_line["method"] == "window/logMessage"
    assert log_line["params"]["message"].startswith("RuntimeError at test_server.py:")
    assert "SECRET" not in json.dumps(log_line) + caplog.text


def test_an_exception_in_a_notification_opens_no_popup() -> None:
    server = create_server()

    def fail(params: Any) -> None:
        raise RuntimeError("SECRET")

    server.feature(types.WORKSPACE_DID_RENAME_FILES)(fail)
    _, *sent = exchange(server, {"method": "workspace/didRenameFiles", "params": {"files": []}})
    assert {message["method"] for message in sent} <= {"window/logMessage"}
    assert "SECRET" not in json.dumps(sent)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, "utf-16"),
        ([], "utf-16"),
        (["utf-8", "utf-16", "utf-32"], "utf-8"),
        (["utf-32", "utf-8"], "utf-32"),
        (["utf-7", "utf-16"], "utf-16"),
        (["utf-7"], "utf-16"),
    ],
)
def test_the_client_s_first_known_encoding_is_taken(offered: list[str] | None, chosen: str) -> None:
    server = create_server()
    (answer,) = exchange(server, general={} if offered is None else {"positionEncodings": offered})
    assert answer["result"]["capabilities"]["positionEncoding"] == server.protocol.encoding == chosen


def test_a_command_that_does_not_exist() -> None:
    (_, answer) = _split(
        exchange(create_server(), {"id": 1, "method": "workspace/executeCommand", "params": {"command": "x"}})
    )[1]
    assert answer["error"]["code"] == -32602
    assert "Traceback" not in answer["error"]["message"]


def test_an_answer_of_the_wrong_form_is_an_error_for_who_waits() -> None:
    server = create_server()

    async def ask() -> None:
        recorder = Recorder()
        server.protocol.set_writer(recorder)
        item = types.ConfigurationItem(section="diffill")
        waiting = asyncio.ensure_future(server.workspace_configuration_async(types.ConfigurationParams(items=[item])))
        await asyncio.sleep(0)
        (request,) = recorder.messages
        broken = {"jsonrpc": "2.0", "id": request["id"], "result": 3}
        server.protocol.receive(json.dumps(broken).encode())
        with pytest.raises(Exception, match="form of its kind"):
            await asyncio.wait_for(waiting, timeout=60)

    asyncio.run(ask())


def _split(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Notifications and answers."""
    return [m for m in messages if "method" in m], [m for m in messages if "method" not in m]


def test_an_answer_after_its_time_is_let_go() -> None:
    protocol = create_server().protocol
    late: concurrent.futures.Future[object] = concurrent.futures.Future()
    late.cancel()
    protocol._request_futures["late"] = late
    protocol._handle_response("late", result=None)  # `receive` would log what is raised here
    assert "late" not in protocol._request_futures
