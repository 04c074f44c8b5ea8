"""Switches, snooze, status and figures of the real server over the protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine_process import until
from tests.lsp_client import LspClient, Message, engine_processes, inline_params, lsp_client
from tests.lsp_server.conftest import CAPABILITIES
from tests.lsp_server.test_code_actions import SOURCE, UNDEFINED, actions


@pytest.fixture(scope="module")
def client() -> Iterator[LspClient]:
    with lsp_client(answer="items") as client:
        client.initialize(options={"exclude": ["*/generated/*"]}, capabilities=CAPABILITIES)
        client.wait_ready()
        yield client


def command(client: LspClient, name: str, *arguments: Any) -> Any:
    return client.request("workspace/executeCommand", {"command": f"diffill.{name}", "arguments": list(arguments)})


def offered(client: LspClient, uri: str) -> bool:
    items = client.request("textDocument/inlineCompletion", inline_params(uri, 0, 4, invoked=True))["items"]
    assert bool(items) == bool(actions(client, uri, UNDEFINED))
    return bool(items)


def document_status(client: LspClient, uri: str, *, enabled: bool) -> str:
    def is_it(params: Message) -> bool:
        return params["uri"] == uri and params["enabled"] is enabled

    message: str = client.notification("diffill/documentStatus", is_it)["message"]
    return message


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ({}, "switched off for this session"),
        ({"scope": "language", "value": "python"}, "switched off for python"),
        ({"scope": "path", "value": "file:///folder"}, "switched off for this path"),
    ],
)
def test_switched_off_and_on(client: LspClient, argument: Message, reason: str) -> None:
    uri = client.open("x = ", uri=f"file:///folder/{len(reason)}.py")
    other = client.open("x = ", uri=f"file:///else/{len(reason)}.js", language="javascript")
    assert offered(client, uri)
    command(client, "disable", argument)
    assert document_status(client, uri, enabled=False) == reason
    assert not offered(client, uri)
    assert offered(client, other) is (argument != {})
    command(client, "enable", argument)
    assert document_status(client, uri, enabled=True) == ""
    assert offered(client, uri)


def test_excluded_paths_are_named(client: LspClient) -> None:
    uri = client.open("x = ", uri="file:///work/generated/a.py")
    assert document_status(client, uri, enabled=False) == "excluded by the setting diffill.exclude: */generated/*"
    assert not offered(client, uri)


def test_a_snooze_ends_by_itself(client: LspClient) -> None:
    uri = client.open("x = ", uri="file:///snooze.py")
    assert command(client, "snooze", {"minutes": 60})["until"] > 0
    assert command(client, "status")["state"] == "disabled"
    assert command(client, "status")["message"].startswith("snoozed until ")
    assert not offered(client, uri)
    command(client, "snooze", {"minutes": 0})
    assert offered(client, uri)
    command(client, "snooze", {"minutes": 0.005})
    assert command(client, "status")["state"] == "disabled"
    while command(client, "status")["state"] == "disabled":  # nobody says anything; pytest's own limit ends this
        time.sleep(0.05)
    assert offered(client, uri)


def test_work_is_shown(client: LspClient) -> None:
    uri = client.open(SOURCE, uri="file:///busy.py")
    client.request("codeAction/resolve", actions(client, uri, UNDEFINED)[0])
    busy = client.notification("diffill/status", lambda params: params["state"] == "busy")
    assert busy["message"] == "Fix this: Undefined name `itms`"
    assert command(client, "status")["state"] == "ready"
    assert command(client, "status")["message"].startswith("fake on cpu, because no accelerator can be used")


def test_focus_is_answered_with_the_document_s_status(client: LspClient) -> None:
    uri = client.open("x = ", uri="file:///focus.py")
    client.notify("textDocument/didFocus", {"textDocument": {"uri": uri}})
    assert document_status(client, uri, enabled=True) == ""


def test_figures_of_the_session(client: LspClient) -> None:
    uri = client.open("x = ", uri="file:///figures.py")
    before = command(client, "stats")
    params = inline_params(uri, 0, 4)
    (item,) = client.request("textDocument/inlineCompletion", params)["items"]
    client.request("workspace/executeCommand", item["command"])
    (item,) = client.request("textDocument/inlineCompletion", params)["items"]
    client.notify("textDocument/didPartiallyAcceptCompletion", {"item": item, "acceptedLength": 3})
    after = command(client, "stats")
    assert after["requests"] - before["requests"] == 2
    assert after["accepted"] - before["accepted"] == 1
    assert after["accepted_in_part"] - before["accepted_in_part"] == 1
    assert after["repairs"]["fix"]["n"] >= 1


@pytest.mark.parametrize(
    ("name", "arguments", "names"),
    [
        ("disable", [{"scope": "planet"}], "scope"),
        ("disable", [{"scope": "language"}], "value"),
        ("disable", [{"surprise": 1}], "surprise"),
        ("enable", [1], "object"),
        ("snooze", [], "arguments"),
        ("snooze", [{"minutes": -1}], "minutes"),
        ("snooze", [{"minutes": "5"}], "minutes"),
    ],
)
def test_wrong_arguments_are_named(client: LspClient, name: str, arguments: list[Any], names: str) -> None:
    error = client.error("workspace/executeCommand", {"command": f"diffill.{name}", "arguments": arguments})
    assert error["code"] == -32602
    assert names in error["message"]


def test_notes_that_cannot_be_read_do_no_harm(client: LspClient) -> None:
    for method in ("didFocus", "didPartiallyAcceptCompletion", "didShowCompletion"):
        for params in (None, {}, [], {"textDocument": {"uri": 3}}, {"item": {"command": {"arguments": []}}}):
            client.notify(f"textDocument/{method}", params)
    assert command(client, "status")["state"] == "ready"


def test_an_engine_that_was_left_alone_frees_the_machine_and_the_next_request_gets_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DIFFILL_IDLE_SECONDS", "1")
    with lsp_client(answer="items") as client:
        client.initialize()
        client.wait_ready()
        uri = client.open("x = ")
        (first,) = engine_processes(client)
        until(lambda: not engine_processes(client))
        seen = len(client.received)
        (item,) = client.request("textDocument/inlineCompletion", inline_params(uri, 0, 4))["items"]
        assert item["insertText"] == "items"
        assert first.pid not in [process.pid for process in engine_processes(client)]
        del client.received[:seen]
        client.wait_ready()
        assert client.notifications("diffill/status")[0]["state"] == "loading"
        assert not client.notifications("window/showMessage")


@pytest.mark.parametrize(("level", "is_told"), [("off", False), ("messages", True), ("verbose", True)])
def test_a_trace_says_what_came_out_and_nothing_of_the_text(level: str, is_told: bool) -> None:
    with lsp_client(answer="items") as client:
        client.initialize(trace=level)
        client.wait_ready()
        uri = client.open("x = ")
        client.request("textDocument/inlineCompletion", inline_params(uri, 0, 4))
        client.notify("$/setTrace", {"value": "verbose" if level == "off" else "off"})
        client.request("textDocument/inlineCompletion", inline_params(uri, 0, 4, invoked=True))
        told = client.notifications("$/logTrace")
        assert [trace["message"].split(":")[0] for trace in told] == [
            f"inline completion, {'automatic' if is_told else 'invoked'}"
        ]
        assert ("verbose" in told[0]) is (level != "messages")
        assert "items" not in str(told).replace("1 items", "")
