"""`textDocument/inlineCompletion` of the real server with the fake engine process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine_process import until
from tests.fake_answers import Answers
from tests.lsp_client import LspClient, engine_processes, inline_params, insert, lsp_client

METHOD = "textDocument/inlineCompletion"
NOTHING: dict[str, Any] = {"items": []}


def at(line: int, character: int) -> dict[str, Any]:
    position = {"line": line, "character": character}
    return {"start": position, "end": position}


def items(client: LspClient, uri: str, line: int, character: int, **context: Any) -> Any:
    result = client.request(METHOD, inline_params(uri, line, character, **context))
    return [(item["insertText"], item["range"]) for item in result["items"]]


@pytest.fixture(scope="module", params=["utf-8", "utf-16", "utf-32"])
def each_encoding(request: pytest.FixtureRequest, answers: Answers) -> Iterator[tuple[LspClient, str]]:
    with lsp_client(table=str(answers.path)) as client:
        client.initialize(encodings=[request.param])
        client.wait_ready()
        yield client, request.param


@pytest.fixture(scope="module")
def client(answers: Answers) -> Iterator[LspClient]:
    """A ready server; every test opens documents of its own."""
    with lsp_client(table=str(answers.path)) as client:
        client.initialize()
        client.wait_ready()
        yield client


@pytest.fixture(scope="module")
def slow() -> Iterator[LspClient]:
    """Every four tokens take a moment, so that there is time for something to happen."""
    with lsp_client(delay="0.3", answer="alpha(beta, gamma)") as client:
        client.initialize()
        client.wait_ready()
        yield client


def test_positions_in_every_encoding(each_encoding: tuple[LspClient, str], answers: Answers) -> None:
    """Edits and completions behind emoji, form feeds and U+2028, with CRLF line ends."""
    client, encoding = each_encoding
    answers.set({"add = 😀é": "(1, 2)\n"})
    column = {"utf-8": 12, "utf-16": 9, "utf-32": 8}[encoding]  # after `add = 😀é`
    uri = client.open("a = 1\x0c\u2028\x85\r\nadd = 😀\r\nlast", uri=f"file:///{encoding}.py")
    client.change(uri, 2, insert(1, column - (2 if encoding == "utf-8" else 1), "é"))
    assert items(client, uri, 1, column) == [("(1, 2)", at(1, column))]
    client.change(uri, 3, insert(2, 99, " = "))
    answers.set({"last = ": "3"})
    assert items(client, uri, 2, 99) == [("3", at(2, 7))]


def test_a_block_of_several_lines(client: LspClient, answers: Answers) -> None:
    answers.set({"def add(a, b):\n    ": "total = a + b\n    return total\n\n\ndef sub(a, b):\n    return a - b\n"})
    uri = client.open("def add(a, b):\r\n    \r\n", uri="file:///block.py")
    assert items(client, uri, 1, 4) == [("total = a + b\r\n    return total", at(1, 4))]


def test_nothing_to_say_is_an_empty_list(client: LspClient, answers: Answers) -> None:
    answers.set({"x = 1": "\n"})
    uri = client.open("x = 1\nprint(x)\n", uri="file:///nothing.py")
    assert client.request(METHOD, inline_params(uri, 0, 5)) == NOTHING
    assert client.request(METHOD, inline_params(uri, 1, 2)) == NOTHING  # inside a word


def test_documents_that_are_not_open(client: LspClient) -> None:
    assert client.request(METHOD, inline_params("file:///never-opened.py", 0, 0)) is None
    uri = client.open("x = ", uri="file:///closed.py")
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert client.request(METHOD, inline_params(uri, 0, 4)) is None


def test_a_huge_document_is_completed_like_any_other(client: LspClient, answers: Answers) -> None:
    answers.set({"y = ": "2"})
    uri = client.open("x = 1\n" * 700_000 + "y = ", uri="file:///huge.py")
    assert items(client, uri, 700_000, 4) == [("2", at(700_000, 4))]
    client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


def test_parameters_beyond_the_specification_are_accepted(client: LspClient, answers: Answers) -> None:
    answers.set({"x = ": "1"})
    uri = client.open("x = ", uri="file:///extra.py")
    params = inline_params(uri, 0, 4)
    params["textDocument"]["version"] = 1
    params |= {"formattingOptions": {"tabSize": 4, "insertSpaces": True}, "own": [1]}
    assert client.request(METHOD, params)["items"][0]["insertText"] == "1"


def test_closing_brackets_alone_are_shown_to_who_asks_for_them(client: LspClient, answers: Answers) -> None:
    answers.set({"x = foo(a": ")", "y = foo(": "a)"})
    uri = client.open("x = foo(a\ny = foo(", uri="file:///closers.py")
    assert items(client, uri, 0, 9) == []
    assert items(client, uri, 0, 9, invoked=True) == [(")", at(0, 9))]
    assert items(client, uri, 1, 8) == [("a)", at(1, 8))]
    client.change(uri, 2, insert(1, 8, "a"))
    assert items(client, uri, 1, 9) == [(")", at(1, 9))]  # what is left of one that was shown


@pytest.mark.parametrize(
    ("options", "level"),
    [
        ({"tabSize": 2, "insertSpaces": True}, "  "),
        ({"tabSize": 8, "insertSpaces": False}, "\t"),
        ({"tabSize": "wide", "insertSpaces": True}, "    "),
        ([], "    "),
    ],
)
def test_the_editor_s_indentation_where_the_file_tells_none(
    client: LspClient, answers: Answers, options: object, level: str
) -> None:
    answers.set({"def f(a):": "\n    if a:\n        return 1\n"})
    uri = client.open("def f(a):", uri="file:///indented.py")
    params = inline_params(uri, 0, 9) | {"formattingOptions": options}
    text = client.request(METHOD, params)["items"][0]["insertText"]
    assert text == f"\n{level}if a:\n{level * 2}return 1"


def test_the_entry_selected_in_the_editor_s_list(client: LspClient, answers: Answers) -> None:
    answers.set({"os.path": ".join(a, b)", "os.pa": "wrong"})
    uri = client.open("os.pa", uri="file:///selected.py")
    chosen = {"start": {"line": 0, "character": 3}, "end": {"line": 0, "character": 5}}
    selected = {"selectedCompletionInfo": {"range": chosen, "text": "path"}}
    assert items(client, uri, 0, 5, **selected) == [("path.join(a, b)", chosen)]
    elsewhere = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 2}}
    assert items(client, uri, 0, 5, selectedCompletionInfo={"range": elsewhere, "text": "os"}) == []


def test_the_text_is_the_one_asked_about(client: LspClient, answers: Answers) -> None:
    """Request and edit arrive together: the answer belongs to the text before, less what was typed since."""
    answers.set({"x = fo": "obar(1)", "x = foob": "wrong", "y = ": "wrong"})
    cases = [("ob", [("ar(1)", at(0, 8))]), ("x", None), ("obar(1)", None)]
    for number, (typed, expected) in enumerate(cases):
        uri = client.open("x = fo\n", uri=f"file:///typed{number}.py")
        request = {"id": f"typed {typed}", "method": METHOD, "params": inline_params(uri, 0, 6)}
        change = {"textDocument": {"uri": uri, "version": 2}, "contentChanges": [insert(0, 6, typed)]}
        client.send(request, {"method": "textDocument/didChange", "params": change})
        result = client.answer(f"typed {typed}")["result"]
        assert (result and [(item["insertText"], item["range"]) for item in result["items"]]) == expected


def test_the_newest_request_wins(slow: LspClient) -> None:
    uri = slow.open("x = ", uri="file:///newest.py")
    other = slow.open("x = ", uri="file:///other.py")
    first = slow.start_request(METHOD, inline_params(uri, 0, 4))
    elsewhere = slow.start_request(METHOD, inline_params(other, 0, 4))
    second = slow.start_request(METHOD, inline_params(uri, 0, 4))
    assert slow.answer(first)["result"] is None
    assert slow.answer(second)["result"]["items"][0]["insertText"] == "alpha(beta, gamma)"
    assert slow.answer(elsewhere)["result"]["items"]


def test_typing_through_a_slow_answer(slow: LspClient) -> None:
    uri = slow.open("x = ", uri="file:///slow.py")
    request = slow.start_request(METHOD, inline_params(uri, 0, 4))
    slow.change(uri, 2, insert(0, 4, "a"))
    slow.change(uri, 3, insert(0, 5, "l"))
    (item,) = slow.answer(request)["result"]["items"]
    assert (item["insertText"], item["range"]) == ("pha(beta, gamma)", at(0, 6))


def test_an_answer_for_a_document_closed_meanwhile(slow: LspClient) -> None:
    uri = slow.open("x = ", uri="file:///leaving.py")
    request = slow.start_request(METHOD, inline_params(uri, 0, 4))
    slow.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert slow.answer(request)["result"] is None


def test_a_cancelled_request_stops_the_engine() -> None:
    """The first answer would take longer than the hang guard; the second can only come when the first has stopped."""
    with lsp_client(delay="2", answer="word = " * 2000) as client:
        client.initialize()
        client.wait_ready()
        uri = client.open("def f():\n    ")
        request = client.start_request(METHOD, inline_params(uri, 1, 4))
        client.cancel(request)
        error = client.answer(request)["error"]
        assert error["code"] == -32800 and "\n" not in error["message"]
        other = client.open("x = ", uri="file:///other.py")
        client.change(other, 2, {"text": "x = "})
        client.notify("workspace/didChangeConfiguration", {"settings": {"diffill": {"maxTokens": 4}}})
        assert client.request(METHOD, inline_params(other, 0, 4))["items"]


def test_loading_is_shown_and_answered_with_null() -> None:
    with lsp_client(load_seconds="1", answer="1") as client:
        client.initialize(capabilities={"window": {"workDoneProgress": True}})
        uri = client.open("x = ")
        assert client.request(METHOD, inline_params(uri, 0, 4)) is None
        client.wait_ready()
        assert items(client, uri, 0, 4) == [("1", at(0, 4))]
        end = client.notification("$/progress", lambda params: params["value"]["kind"] == "end")
        (create,) = client.notifications("window/workDoneProgress/create")
        values = [
            params["value"] for params in client.notifications("$/progress") if params["token"] == create["token"]
        ]
        assert end["token"] == create["token"]
        assert [value["kind"] for value in values][:: len(values) - 1] == ["begin", "end"]
        assert {value["kind"] for value in values[1:-1]} == {"report"}
        for percentages in (
            [value["percentage"] for value in values[:-1]],
            [status["percentage"] for status in client.notifications("diffill/status")],
        ):
            assert percentages == sorted(percentages) and len(set(percentages)) > 2
        states = [status["state"] for status in client.notifications("diffill/status")]
        assert states == ["loading"] * (len(states) - 1) + ["ready"]


def test_a_client_that_never_answers_about_progress() -> None:
    """The model is loaded all the same."""
    with lsp_client(answers_requests=False, answer="1") as client:
        client.initialize(capabilities={"window": {"workDoneProgress": True}})
        client.wait_ready()
        uri = client.open("x = ")
        assert items(client, uri, 0, 4) == [("1", at(0, 4))]
        assert len(client.notifications("window/workDoneProgress/create")) == 1
        assert not client.notifications("$/progress")


def test_a_client_without_progress_is_not_bothered(client: LspClient) -> None:
    assert client.notification("diffill/status", lambda params: params["state"] == "ready")
    assert not client.notifications("window/workDoneProgress/create")
    assert not client.notifications("$/progress")


def test_an_engine_that_cannot_load_is_a_state_and_a_log_line() -> None:
    with lsp_client(load_error="checkpoint: it is damaged") as client:
        client.initialize()
        status = client.notification("diffill/status", lambda params: params["state"] == "failed")
        assert "checkpoint: it is damaged" in status["message"]
        uri = client.open("x = ")
        assert client.request(METHOD, inline_params(uri, 0, 4)) == NOTHING
        assert len([line for line in client.notifications("window/logMessage") if line["type"] == 1]) == 1
        assert not client.notifications("window/showMessage")
        assert client.shut_down() == 0


def warnings(client: LspClient) -> int:
    return len([line for line in client.notifications("window/logMessage") if line["type"] <= 2])


def test_a_fault_of_the_engine_is_an_empty_answer_and_a_log_line() -> None:
    with lsp_client(answer="1") as client:
        client.initialize()
        client.wait_ready()
        for fault in ("REFUSE", "KILL", "RAISE"):
            before = warnings(client)
            uri = client.open(f"SECRET = {fault}\nx = ", uri=f"file:///{fault}.py")
            assert client.request(METHOD, inline_params(uri, 0, 9 + len(fault))) == NOTHING
            assert warnings(client) == before + 1
            # An engine that has died twice is left alone for a second.
            until(lambda uri=uri: items(client, uri, 1, 4))
        assert not client.notifications("window/showMessage")
        client.shut_down()
        assert "SECRET" not in json.dumps(client.received) + client.stderr
        assert "SECRET" not in "".join(path.read_text() for path in Path(client.runtime).glob("*.log"))


def test_the_engine_killed_during_a_completion() -> None:
    with lsp_client(delay="0.5", answer="alpha(beta, gamma, delta)") as client:
        client.initialize()
        client.wait_ready()
        uri = client.open("x = ")
        request = client.start_request(METHOD, inline_params(uri, 0, 4))
        (engine,) = engine_processes(client)
        seen = len(client.received)
        engine.kill()
        assert "error" not in client.answer(request)
        del client.received[:seen]
        client.wait_ready()
        assert client.notifications("diffill/status")[0]["state"] == "loading"
        assert items(client, uri, 0, 4) == [("alpha(beta, gamma, delta)", at(0, 4))]
        assert [process.pid for process in engine_processes(client)] != [engine.pid]
        assert not client.notifications("window/showMessage")


def test_wrong_settings_are_reported_once() -> None:
    wrong = {"mode": "fast", "colour": "red", "enable": {"python": False}}
    with lsp_client(configuration=wrong, answer="1") as client:
        client.initialize(options=wrong, capabilities={"workspace": {"configuration": True}})
        client.wait_ready()
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        python, go = client.open("x = "), client.open("x = ", uri="file:///a.go", language="go")
        assert client.request(METHOD, inline_params(python, 0, 4)) == NOTHING
        assert items(client, go, 0, 4) == [("1", at(0, 4))]
        client.shut_down()
        (shown,) = client.notifications("window/showMessage")
        assert shown["type"] == 2
        assert "diffill.mode" in shown["message"] and "diffill.colour" in shown["message"]


def test_settings_pushed_and_pulled() -> None:
    with lsp_client(answer="alpha(beta, gamma)", configuration={"enable": {"*": False}}) as client:
        client.initialize(capabilities={"workspace": {"configuration": True}})
        client.wait_ready()
        uri = client.open("x = ")
        assert client.request(METHOD, inline_params(uri, 0, 4)) == NOTHING
        client.configuration = {"enable": {"*": True}}
        client.notify("workspace/didChangeConfiguration", {"settings": None})
        client.wait(lambda _: len(client.notifications("workspace/configuration")) == 2)
        client.request(METHOD, inline_params("file:///closed", 0, 0))  # by now the answer has been taken
        assert items(client, uri, 0, 4) == [("alpha(beta, gamma)", at(0, 4))]


def test_acceptance_is_a_command(client: LspClient, answers: Answers) -> None:
    answers.set({"x = ": "1"})
    uri = client.open("x = ", uri="untitled:Untitled-1")
    item = client.request(METHOD, inline_params(uri, 0, 4))["items"][0]
    client.change(uri, 2, insert(0, 4, "1"))
    command = {"command": item["command"]["command"], "arguments": item["command"]["arguments"]}
    assert client.request("workspace/executeCommand", command) is None
    assert client.request("workspace/executeCommand", command) is None  # once more does no harm
    assert client.error("workspace/executeCommand", {"command": "no such thing"})["code"] == -32602


def test_a_request_for_another_version_is_out_of_date(client: LspClient, answers: Answers) -> None:
    answers.set({"x = ": "1"})
    uri = client.open("x = ", uri="vscode-remote://ssh-remote/work/a.py", version=7)
    params = inline_params(uri, 0, 4)
    for version, expected in ((6, None), (8, None), ("7", ["1"]), (7, ["1"])):
        params["textDocument"]["version"] = version
        result = client.request(METHOD, params)
        assert (result and [item["insertText"] for item in result["items"]]) == expected


def test_cells_of_a_notebook(client: LspClient, answers: Answers) -> None:
    answers.set({"import os\n\n\nx = 1\n\n\nos.": "environ", "os.": "wrong"})
    cells = [("import os\n", 2), ("# Title", 1), ("x = 1\n", 2), ("os.", 2)]
    documents = [
        {"uri": f"cell:{index}", "languageId": "python" if kind == 2 else "markdown", "version": 1, "text": text}
        for index, (text, kind) in enumerate(cells)
    ]
    structure = [{"kind": kind, "document": f"cell:{index}"} for index, (_, kind) in enumerate(cells)]
    notebook = {"uri": "file:///a.ipynb", "notebookType": "jupyter-notebook", "version": 1, "cells": structure}
    client.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": documents})
    assert items(client, "cell:3", 0, 3) == [("environ", at(0, 3))]
    edit = {"document": {"uri": "cell:3", "version": 2}, "changes": [insert(0, 3, "env")]}
    removed = {"array": {"start": 0, "deleteCount": 1}, "didClose": [{"uri": "cell:0"}]}
    change = {"cells": {"textContent": [edit], "structure": removed}}
    client.notify(
        "notebookDocument/didChange", {"notebookDocument": {"uri": "file:///a.ipynb", "version": 2}, "change": change}
    )
    answers.set({"x = 1\n\n\nos.env": "iron", "import os\n\n\nx = 1\n\n\nos.env": "wrong"})
    assert items(client, "cell:3", 0, 6) == [("iron", at(0, 6))]
    closed = {"notebookDocument": {"uri": "file:///a.ipynb"}, "cellTextDocuments": [{"uri": "cell:3"}]}
    client.notify("notebookDocument/didClose", closed)
    assert client.request(METHOD, inline_params("cell:3", 0, 3)) is None
