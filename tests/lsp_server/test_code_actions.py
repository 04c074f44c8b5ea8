"""Code actions of the real server over the protocol, with the real ruff and a fake model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lsp_client import LspClient, Message, insert, lsp_client

SOURCE = "def total(items):\n    return sum(itms)\n"
RANGE = {"start": {"line": 1, "character": 15}, "end": {"line": 1, "character": 19}}
UNDEFINED = {"range": RANGE, "code": "F821", "source": "Ruff", "message": "Undefined name `itms`", "severity": 1}
ACTION = {
    "codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix", "refactor.rewrite"]}},
    "dataSupport": True,
    "isPreferredSupport": True,
    "disabledSupport": True,
    "honorsChangeAnnotations": True,
    "resolveSupport": {"properties": ["edit"]},
    "tagSupport": {"valueSet": [1]},
}
CAPABILITIES = {
    "textDocument": {"codeAction": ACTION},
    "workspace": {
        "applyEdit": True,
        "workspaceEdit": {"documentChanges": True, "changeAnnotationSupport": {"groupsOnLabel": True}},
    },
    "window": {"workDoneProgress": True},
    "experimental": {"commands": {"commands": ["diffill.askInstruction"]}},
}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.json"
    path.write_text("{}", "utf-8")
    return path


@pytest.fixture(scope="module")
def client(table: Path) -> Iterator[LspClient]:
    with lsp_client(answer="", table=str(table)) as client:
        result = client.initialize(encodings=["utf-16"], capabilities=CAPABILITIES)
        provider = result["capabilities"]["codeActionProvider"]
        assert provider["resolveProvider"] is True
        assert {"diffill.fix", "diffill.rewrite"} <= set(result["capabilities"]["executeCommandProvider"]["commands"])
        client.wait_ready()
        yield client


def answers(table: Path, **ends: str) -> None:
    table.write_text(json.dumps(ends), "utf-8")


def actions(client: LspClient, uri: str, *diagnostics: Message, at: Message = RANGE, **context: Any) -> list[Message]:
    params = {"textDocument": {"uri": uri}, "range": at, "context": {"diagnostics": list(diagnostics), **context}}
    found: list[Message] = client.request("textDocument/codeAction", params)
    return found


def quick_fix(client: LspClient, uri: str, diagnostic: Message = UNDEFINED) -> Message:
    return actions(client, uri, diagnostic, only=["quickfix"])[0]


def applied(text: str, edit: Message) -> str:
    """The text with the one change of a workspace edit that lies in one line; ASCII."""
    lines = text.split("\n")
    for change in reversed(edit["documentChanges"][0]["edits"]):
        start, end = change["range"]["start"], change["range"]["end"]
        assert start["line"] == end["line"]
        line = lines[start["line"]]
        lines[start["line"]] = line[: start["character"]] + change["newText"] + line[end["character"] :]
    return "\n".join(lines)


def test_a_diagnostic_is_fixed_in_its_version_only(client: LspClient, table: Path) -> None:
    answers(table, **{"sum(": "items"})
    uri = client.open(SOURCE, uri="file:///fix.py", version=7)
    action = quick_fix(client, uri)
    assert action["title"] == "Fix this: Undefined name `itms`"
    assert (action["kind"], action["diagnostics"], action["tags"]) == ("quickfix", [UNDEFINED], [1])
    assert "edit" not in action and "isPreferred" not in action
    resolved = client.request("codeAction/resolve", action)
    (change,) = resolved["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": uri, "version": 7}
    assert change["edits"] == [{"range": RANGE, "newText": "items", "annotationId": "diffill"}]
    annotation = resolved["edit"]["changeAnnotations"]["diffill"]
    assert (annotation["needsConfirmation"], annotation["description"]) == (False, "checked")
    assert resolved["isPreferred"] is True
    assert quick_fix(client, uri)["isPreferred"] is True  # known from now on

    client.change(uri, 8, insert(0, 0, "\n"))
    error = client.error("codeAction/resolve", action)
    assert (error["code"], error["message"]) == (-32801, "the document has changed; ask again")


def test_no_safe_fix_is_said_plainly(client: LspClient, table: Path) -> None:
    answers(table, **{"sum(": "itmz"})  # undefined too: ruff refuses it
    uri = client.open(SOURCE, uri="file:///none.py")
    resolved = client.request("codeAction/resolve", quick_fix(client, uri))
    assert "edit" not in resolved
    shown = client.notification("window/showMessage")
    assert shown == {"type": 3, "message": "No safe fix found. Fix this: Undefined name `itms`"}
    assert quick_fix(client, uri)["disabled"] == {"reason": "no safe fix found"}


def test_what_no_tool_confirms_is_marked(client: LspClient, table: Path) -> None:
    answers(table, **{"return a.": "length"})
    uri = client.open("function f(a) {\n  return a.lenght;\n}\n", uri="file:///a.js", language="javascript")
    place = {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 17}}
    typo = {"range": place, "code": 2551, "source": "ts", "message": "Did you mean 'length'?"}
    resolved = client.request("codeAction/resolve", quick_fix(client, uri, typo))
    assert "isPreferred" not in resolved
    annotation = resolved["edit"]["changeAnnotations"]["diffill"]
    assert annotation["needsConfirmation"] is True
    assert annotation["description"].startswith("not verified: ")


def test_kinds_are_filtered(client: LspClient) -> None:
    uri = client.open("def f(a):\n    pass\n", uri="file:///kinds.py")
    at = {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 8}}
    every = [action["title"] for action in actions(client, uri, UNDEFINED, at=at)]
    assert every == [
        "Fix this: Undefined name `itms`",
        "Rewrite the selection",
        "Complete this function's body",
        "Rewrite with an instruction…",
    ]
    assert [action["title"] for action in actions(client, uri, UNDEFINED, at=at, only=["refactor"])] == every[1:]
    assert actions(client, uri, UNDEFINED, at=at, only=["source"]) == []


def test_a_body_takes_the_place_of_its_stub(client: LspClient, table: Path) -> None:
    answers(table, **{'"""Sum."""\n    ': "return sum(items)"})
    text = 'def total(items):\n    """Sum."""\n    pass\n'
    uri = client.open(text, uri="file:///body.py")
    place = {"line": 2, "character": 4}
    action = actions(client, uri, at={"start": place, "end": place}, only=["refactor.rewrite"])[0]
    edit = client.request("codeAction/resolve", action)["edit"]
    assert applied(text, edit) == text.replace("pass", "return sum(items)")


def test_a_rewrite_by_command_is_applied_by_the_editor(client: LspClient, table: Path) -> None:
    answers(table, **{"return a - b\n": "def add(a, b):\n    return a + b\n"})
    uri = client.open("def add(a, b):\n    return a - b\n", uri="file:///rewrite.py")
    place = {"line": 1, "character": 8}
    task = {"uri": uri, "range": {"start": place, "end": place}, "instruction": "add, do not subtract"}
    request = client.start_request("workspace/executeCommand", {"command": "diffill.rewrite", "arguments": [task]})
    params = client.notification("workspace/applyEdit")
    (edit,) = params["edit"]["documentChanges"][0]["edits"]
    assert edit["newText"] == "+"
    assert params["edit"]["changeAnnotations"]["diffill"]["needsConfirmation"] is True
    assert client.answer(request)["result"] == {
        "applied": True,
        "verified": False,
        "note": "",
    }


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "arguments"),
        ([{}], "uri"),
        ([{"uri": 3, "range": RANGE}], "uri"),
        ([{"uri": "file:///not-open.py", "range": RANGE}], "not open"),
        ([{"uri": "file:///x.py", "range": RANGE, "surprise": 1}], "surprise"),
        ([{"uri": "file:///x.py", "range": {"start": {"line": "1"}}}], "line"),
    ],
)
def test_wrong_arguments_are_named(client: LspClient, arguments: list[Any], names: str) -> None:
    error = client.error("workspace/executeCommand", {"command": "diffill.fix", "arguments": arguments})
    assert error["code"] == -32602
    assert names in error["message"]


def test_an_action_without_its_data_is_refused(client: LspClient) -> None:
    error = client.error("codeAction/resolve", {"title": "Fix this", "kind": "quickfix"})
    assert error["code"] == -32602


def test_ranges_outside_the_text_do_no_harm(client: LspClient) -> None:
    uri = client.open(SOURCE, uri="file:///far.py")
    far = {"start": {"line": 900, "character": 900}, "end": {"line": 901, "character": 0}}
    action = quick_fix(client, uri, {**UNDEFINED, "range": far})
    assert "edit" not in client.request("codeAction/resolve", action)
    assert actions(client, "file:///closed.py", UNDEFINED) == []


@pytest.mark.parametrize(
    "text",
    [")" * 100_000, "def f():\n" + "    x = (1, 2)\n" * 60_000, "\0\ud800\n" * 100, "\u2028" * 1000],
    ids=["long line", "long file", "binary", "separators"],
)
def test_hostile_texts_get_an_answer(client: LspClient, text: str) -> None:
    uri = client.open(text, uri="file:///hostile.py")
    client.change(uri, 2, insert(0, 0, "x"))
    at = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 3}}
    found = actions(client, uri, {**UNDEFINED, "range": at}, at=at)
    for action in found[:2]:
        assert client.request("codeAction/resolve", action)["title"] == action["title"]
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def test_a_slow_search_can_be_stopped(table: Path) -> None:
    answers(table)
    with lsp_client(answer="one two three four five six seven eight nine", delay="0.2") as client:
        client.initialize(capabilities=CAPABILITIES)
        client.wait_ready()
        uri = client.open(SOURCE)
        request = client.start_request("codeAction/resolve", quick_fix(client, uri))
        bar = client.notification("$/progress", lambda params: "Fix this" in params["value"].get("title", ""))
        assert bar["value"]["cancellable"] is True
        client.notify("window/workDoneProgress/cancel", {"token": bar["token"]})
        assert client.answer(request)["error"]["code"] == -32800
        again = client.start_request("codeAction/resolve", quick_fix(client, uri))
        client.cancel(again)
        assert client.answer(again)["error"]["code"] == -32800


def test_a_client_that_cannot_resolve_gets_a_command(table: Path) -> None:
    answers(table, **{"sum(": "items"})
    with lsp_client(answer="", table=str(table)) as client:
        client.initialize(capabilities={"textDocument": {"codeAction": {}}, "workspace": {"applyEdit": True}})
        client.wait_ready()
        uri = client.open(SOURCE)
        action = quick_fix(client, uri)
        assert "data" not in action and "tags" not in action
        client.start_request("workspace/executeCommand", action["command"])
        assert client.notification("workspace/applyEdit")["edit"] == {
            "changes": {uri: [{"range": RANGE, "newText": "items"}]}
        }
