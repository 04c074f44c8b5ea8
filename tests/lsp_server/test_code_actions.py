"""Code actions of the real server over the protocol, with the real ruff and a fake model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_answers import Answers
from tests.lsp_client import LspClient, Message, insert, lsp_client
from tests.lsp_server.conftest import CAPABILITIES

SOURCE = "def total(items):\n    return sum(itms)\n"
RANGE = {"start": {"line": 1, "character": 15}, "end": {"line": 1, "character": 19}}
UNDEFINED = {"range": RANGE, "code": "F821", "source": "Ruff", "message": "Undefined name `itms`", "severity": 1}


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


def test_a_diagnostic_is_fixed_in_its_version_only(repairing: LspClient, answers: Answers) -> None:
    answers.set({"sum(": "items"})
    uri = repairing.open(SOURCE, uri="file:///fix.py", version=7)
    action = quick_fix(repairing, uri)
    assert action["title"] == "Fix this: Undefined name `itms`"
    assert (action["kind"], action["diagnostics"], action["tags"]) == ("quickfix", [UNDEFINED], [1])
    assert "edit" not in action and "isPreferred" not in action
    resolved = repairing.request("codeAction/resolve", action)
    (change,) = resolved["edit"]["documentChanges"]
    assert change["textDocument"] == {"uri": uri, "version": 7}
    assert change["edits"] == [{"range": RANGE, "newText": "items", "annotationId": "diffill"}]
    annotation = resolved["edit"]["changeAnnotations"]["diffill"]
    assert (annotation["needsConfirmation"], annotation["description"]) == (False, "checked")
    assert resolved["isPreferred"] is True
    assert quick_fix(repairing, uri)["isPreferred"] is True  # known from now on

    repairing.change(uri, 8, insert(0, 0, "\n"))
    error = repairing.error("codeAction/resolve", action)
    assert (error["code"], error["message"]) == (-32801, "the document has changed; ask again")


def test_no_safe_fix_is_said_plainly(repairing: LspClient, answers: Answers) -> None:
    answers.set({"sum(": "itmz"})  # undefined too: ruff refuses it
    uri = repairing.open(SOURCE, uri="file:///none.py")
    resolved = repairing.request("codeAction/resolve", quick_fix(repairing, uri))
    assert "edit" not in resolved
    shown = repairing.notification("window/showMessage", lambda params: "itms" in params["message"])
    assert shown == {"type": 3, "message": "No safe fix found. Fix this: Undefined name `itms`"}
    assert quick_fix(repairing, uri)["disabled"] == {"reason": "no safe fix found"}


def test_an_unused_line_goes_with_its_end(repairing: LspClient, answers: Answers) -> None:
    answers.set({"import sys\n": ""})
    uri = repairing.open("import sys\nimport os\nimport re\n\nprint(sys, re)\n", uri="file:///unused.py")
    place = {"start": {"line": 1, "character": 7}, "end": {"line": 1, "character": 9}}
    unused = {"range": place, "code": "F401", "source": "Ruff", "message": "`os` imported but unused"}
    resolved = repairing.request("codeAction/resolve", quick_fix(repairing, uri, unused))
    (edit,) = resolved["edit"]["documentChanges"][0]["edits"]
    line = {"start": {"line": 1, "character": 0}, "end": {"line": 2, "character": 0}}
    assert (edit["range"], edit["newText"]) == (line, "")


def test_what_no_tool_confirms_is_marked(repairing: LspClient, answers: Answers) -> None:
    answers.set({"return a.": "length"})
    uri = repairing.open("function f(a) {\n  return a.lenght;\n}\n", uri="file:///a.js", language="javascript")
    place = {"start": {"line": 1, "character": 11}, "end": {"line": 1, "character": 17}}
    typo = {"range": place, "code": 2551, "source": "ts", "message": "Did you mean 'length'?"}
    resolved = repairing.request("codeAction/resolve", quick_fix(repairing, uri, typo))
    assert "isPreferred" not in resolved
    annotation = resolved["edit"]["changeAnnotations"]["diffill"]
    assert annotation["needsConfirmation"] is True
    assert annotation["description"].startswith("not verified: ")


def test_kinds_are_filtered(repairing: LspClient) -> None:
    uri = repairing.open("def f(a):\n    pass\n", uri="file:///kinds.py")
    at = {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 8}}
    every = [action["title"] for action in actions(repairing, uri, UNDEFINED, at=at)]
    assert every == [
        "Fix this: Undefined name `itms`",
        "Rewrite the selection",
        "Complete this function's body",
        "Rewrite with an instruction…",
    ]
    assert [action["title"] for action in actions(repairing, uri, UNDEFINED, at=at, only=["refactor"])] == every[1:]
    assert actions(repairing, uri, UNDEFINED, at=at, only=["source"]) == []
    unasked = [action["title"] for action in actions(repairing, uri, UNDEFINED, at=at, triggerKind=2)]
    assert unasked == every[:-1]  # no light bulb in every line


def test_a_body_takes_the_place_of_its_stub(repairing: LspClient, answers: Answers) -> None:
    answers.set({'"""Sum."""\n    ': "return sum(items)"})
    text = 'def total(items):\n    """Sum."""\n    pass\n'
    uri = repairing.open(text, uri="file:///body.py")
    place = {"line": 2, "character": 4}
    action = actions(repairing, uri, at={"start": place, "end": place}, only=["refactor.rewrite"])[0]
    edit = repairing.request("codeAction/resolve", action)["edit"]
    assert applied(text, edit) == text.replace("pass", "return sum(items)")


def test_a_rewrite_by_command_is_applied_by_the_editor(repairing: LspClient, answers: Answers) -> None:
    answers.set({"return a - b\n": "def add(a, b):\n    return a + b\n"})
    uri = repairing.open("def add(a, b):\n    return a - b\n", uri="file:///rewrite.py")
    place = {"line": 1, "character": 8}
    task = {"uri": uri, "range": {"start": place, "end": place}, "instruction": "add, do not subtract"}
    request = repairing.start_request("workspace/executeCommand", {"command": "diffill.rewrite", "arguments": [task]})
    params = repairing.notification("workspace/applyEdit", lambda params: params["label"].startswith("Rewrite"))
    (edit,) = params["edit"]["documentChanges"][0]["edits"]
    assert edit["newText"] == "+"
    assert params["edit"]["changeAnnotations"]["diffill"]["needsConfirmation"] is True
    assert repairing.answer(request)["result"] == {
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
def test_wrong_arguments_are_named(repairing: LspClient, arguments: list[Any], names: str) -> None:
    error = repairing.error("workspace/executeCommand", {"command": "diffill.fix", "arguments": arguments})
    assert error["code"] == -32602
    assert names in error["message"]


def test_an_action_without_its_data_is_refused(repairing: LspClient) -> None:
    error = repairing.error("codeAction/resolve", {"title": "Fix this", "kind": "quickfix"})
    assert error["code"] == -32602


def test_ranges_outside_the_text_do_no_harm(repairing: LspClient) -> None:
    uri = repairing.open(SOURCE, uri="file:///far.py")
    far = {"start": {"line": 900, "character": 900}, "end": {"line": 901, "character": 0}}
    action = quick_fix(repairing, uri, {**UNDEFINED, "range": far})
    assert "edit" not in repairing.request("codeAction/resolve", action)
    assert actions(repairing, "file:///closed.py", UNDEFINED) == []


@pytest.mark.parametrize(
    "text",
    [")" * 100_000, "def f():\n" + "    x = (1, 2)\n" * 60_000, "\0\ud800\n" * 100, "\u2028" * 1000],
    ids=["long line", "long file", "binary", "separators"],
)
def test_hostile_texts_get_an_answer(repairing: LspClient, text: str) -> None:
    uri = repairing.open(text, uri="file:///hostile.py")
    repairing.change(uri, 2, insert(0, 0, "x"))
    at = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 3}}
    found = actions(repairing, uri, {**UNDEFINED, "range": at}, at=at)
    for action in found[:2]:
        assert repairing.request("codeAction/resolve", action)["title"] == action["title"]
    repairing.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def test_a_slow_search_can_be_stopped(answers: Answers) -> None:
    answers.set({})
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


def test_a_client_that_cannot_resolve_gets_a_command(answers: Answers) -> None:
    answers.set({"sum(": "items"})
    with lsp_client(answer="", table=str(answers.path)) as client:
        client.initialize(capabilities={"textDocument": {"codeAction": {}}, "workspace": {"applyEdit": True}})
        client.wait_ready()
        uri = client.open(SOURCE)
        action = quick_fix(client, uri)
        assert "data" not in action and "tags" not in action
        client.start_request("workspace/executeCommand", action["command"])
        assert client.notification("workspace/applyEdit")["edit"] == {
            "changes": {uri: [{"range": RANGE, "newText": "items"}]}
        }
