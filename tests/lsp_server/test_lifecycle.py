"""The real server process: what it says about itself, what it answers when, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lsp_client import SERVER, LspClient, framed, inline_params, insert, lsp_client


@pytest.fixture
def client() -> Iterator[LspClient]:
    """A server that was not spoken to yet. No engine is started before `initialized`."""
    client = LspClient()
    yield client
    client.close()


@pytest.fixture(scope="module")
def initialized() -> Iterator[LspClient]:
    """A server for tests that leave it as it was."""
    client = LspClient()
    start(client)
    yield client
    client.close()


def start(client: LspClient, **capabilities: Any) -> dict[str, Any]:
    """Only `initialize`."""
    result: dict[str, Any] = client.request("initialize", {"processId": None, "capabilities": capabilities})
    return result


def test_what_it_says_about_itself(client: LspClient) -> None:
    result = start(client)
    assert result["serverInfo"]["name"] == "diffill" and result["serverInfo"]["version"]
    capabilities = result["capabilities"]
    assert capabilities["inlineCompletionProvider"] == {}
    assert capabilities["textDocumentSync"] == {"openClose": True, "change": 2, "save": {"includeText": False}}
    assert capabilities["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
    assert "diffill.accepted" in capabilities["executeCommandProvider"]["commands"]
    for absent in ("completionProvider", "hoverProvider", "diagnosticProvider", "documentFormattingProvider"):
        assert absent not in capabilities


def test_nothing_but_initialize_is_due_before_it(client: LspClient) -> None:
    assert client.error("shutdown")["code"] == -32002
    assert client.error("textDocument/inlineCompletion", {"any": "thing"})["code"] == -32002
    client.notify("textDocument/didOpen", {"textDocument": 3})
    assert start(client)
    assert client.error("initialize", {"processId": None, "capabilities": {}})["code"] == -32600


def test_requests_after_shutdown_are_refused(client: LspClient) -> None:
    start(client)
    assert client.request("shutdown") is None
    assert client.error("textDocument/inlineCompletion", inline_params("file:///a", 0, 0))["code"] == -32600
    assert client.error("shutdown")["code"] == -32600
    client.notify("exit")
    assert client.exit_code() == 0


def test_what_cannot_be_read_is_answered_and_the_next_message_too(client: LspClient) -> None:
    client.send_bytes(framed(b'{"jsonrpc": "2.0", "id": 1, "method":'))
    assert client.answer(None)["error"]["code"] == -32700
    client.received.clear()
    client.send_bytes(framed(b"[" * 200_000))
    assert client.answer(None)["error"]["code"] == -32700
    client.received.clear()
    client.send_bytes(framed(b"\xff\xfe\xfd"))
    assert client.answer(None)["error"]["code"] == -32700
    client.received.clear()
    client.send_bytes(b"Content-Type: nothing else\r\n\r\n")
    assert client.answer(None)["error"]["code"] == -32700
    for body in (
        b"[]",
        b"3",
        b'{"id": 1, "method": "shutdown"}',
        b'{"jsonrpc": "2.0", "id": {}, "method": "shutdown"}',
    ):
        client.received.clear()
        client.send_bytes(framed(body))
        assert client.answer(None)["error"]["code"] == -32600
    client.send_bytes(b"content-length: 2\r\n\r\n[]")
    assert start(client)


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {**inline_params("file:///a", 0, 0), "position": None},
        {**inline_params("file:///a", 0, 0), "position": {"line": "first", "character": 0}},
        inline_params("file:///a", -1, 0),
        {**inline_params("file:///a", 0, 0), "context": {"triggerKind": 9}},
        {**inline_params("file:///a", 0, 0), "context": {}},
        {**inline_params("file:///a", 0, 0), "textDocument": "SECRET"},
        {**inline_params("file:///a", 0, 0), "position": {"line": 0, "character": {"x": "SECRET"}}},
    ],
)
def test_parameters_that_do_not_fit_are_answered(initialized: LspClient, params: Any) -> None:
    error = initialized.error("textDocument/inlineCompletion", params)
    assert error["code"] == -32602
    assert error["message"].startswith("textDocument/inlineCompletion: ")
    assert "\n" not in error["message"] and "data" not in error
    assert "SECRET" not in json.dumps(initialized.received)


def test_unknown_methods(client: LspClient) -> None:
    start(client)
    client.notify("workspace/unheardOf", {"a": 1})
    client.notify("$/unheardOf")
    assert client.error("workspace/unheardOf")["code"] == -32601
    assert client.error("workspace/unheardOf", {"type_name": "1"})["code"] == -32601
    assert client.request("shutdown") is None


def test_broken_notifications_are_logged_without_their_text(client: LspClient) -> None:
    start(client)
    client.notify("textDocument/didOpen", {"textDocument": {"uri": "file:///SECRET", "text": {"SECRET": 1}}})
    client.notify(
        "textDocument/didChange", {"textDocument": {"uri": "file:///SECRET", "version": 1}, "contentChanges": []}
    )
    client.change("file:///SECRET", 2, insert(0, 0, "SECRET"))
    client.notify("$/cancelRequest", {"id": 99})
    assert client.request("shutdown") is None
    assert "SECRET" not in json.dumps(client.received)
    client.notify("exit")
    client.exit_code()
    assert client.notifications("window/logMessage")
    assert client.stderr == ""  # editors log what stands there as errors
    assert not client.notifications("window/showMessage")


def test_exit_without_shutdown_is_an_error(client: LspClient) -> None:
    start(client)
    client.notify("exit")
    assert client.exit_code() == 1


def test_exit_before_initialize_ends_it(client: LspClient) -> None:
    client.notify("exit")
    assert client.exit_code() == 1


@pytest.mark.parametrize("after_shutdown", [True, False])
def test_the_end_of_input_ends_it(client: LspClient, after_shutdown: bool) -> None:
    start(client)
    if after_shutdown:
        client.request("shutdown")
    assert client.process.stdin is not None
    client.process.stdin.close()
    assert client.exit_code() == (0 if after_shutdown else 1)


def test_it_ends_when_the_editor_dies(client: LspClient) -> None:
    """The pipes stay open here, as when another process holds them."""
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    client.request("initialize", {"processId": editor.pid, "capabilities": {}})
    editor.kill()  # not waited for yet: a zombie is dead too
    assert client.exit_code() == 1
    editor.communicate()


def test_an_editor_that_cannot_be_seen_is_not_taken_for_dead(client: LspClient) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    client.request("initialize", {"processId": gone.pid, "capabilities": {}})
    assert client.request("shutdown") is None


def test_a_reader_that_goes_away_ends_it() -> None:
    with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        process.stdin.write(framed(b'{"jsonrpc": "2.0", "id": 1, "method": "shutdown"}'))
        process.stdin.flush()
        assert process.wait(timeout=60) == 1


def test_exit_does_not_wait_for_a_hanging_engine() -> None:
    with lsp_client() as client:  # the engine hangs for an hour
        client.initialize()
        client.wait_ready()
        uri = client.open("x = HANG")
        client.start_request("textDocument/inlineCompletion", inline_params(uri, 0, 8))
        assert client.shut_down() == 0


def test_exit_does_not_wait_for_anything_else_that_hangs() -> None:
    script = (
        "import time; from diffill.lsp_server import __main__ as program, server\n"
        "async def close(self): time.sleep(3600)\n"
        "server.Server.close = close\n"
        "raise SystemExit(program.run())"
    )
    message = framed(b'{"jsonrpc": "2.0", "method": "exit"}')
    done = subprocess.run([sys.executable, "-c", script], input=message, capture_output=True, timeout=60)
    assert done.returncode == 1


def test_the_working_directory_is_not_a_place_for_modules(tmp_path: Path) -> None:
    for name in ("numpy", "asyncio", "logging", "tree_sitter", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the file of the user was imported')\n")
    with lsp_client(directory=str(tmp_path), answer="42") as client:
        client.initialize()
        client.wait_ready()
        uri = client.open("x = ")
        items = client.request("textDocument/inlineCompletion", inline_params(uri, 0, 4))["items"]
        assert [item["insertText"] for item in items] == ["42"]


def test_it_registers_for_changes_where_clients_ask_for_that(client: LspClient) -> None:
    dynamic = {"dynamicRegistration": True}
    client.initialize(capabilities={"workspace": {"didChangeConfiguration": dynamic, "didChangeWatchedFiles": dynamic}})
    registered = client.notification("client/registerCapability")["registrations"]
    assert [registration["method"] for registration in registered] == [
        "workspace/didChangeConfiguration",
        "workspace/didChangeWatchedFiles",
    ]
    assert registered[0]["registerOptions"] == {"section": "diffill"}
    changes = [{"uri": "file:///work/.gitignore", "type": 2}]
    client.notify("workspace/didChangeWatchedFiles", {"changes": changes})
    assert client.shut_down() == 0
