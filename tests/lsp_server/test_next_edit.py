"""The next edit over the protocol: the same change where else it is due."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_answers import Answers
from tests.lsp_client import LspClient, Message, insert, lsp_client
from tests.lsp_server.conftest import CAPABILITIES
from tests.lsp_server.test_code_actions import actions

RENAMED = "def area(width, height):\n    size = width * height\n    print(width)\n    return size\n"


def next_edits(client: LspClient, uri: str, method: str = "diffill/nextEdit") -> list[Message]:
    params = {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}}
    edits: list[Message] = client.request(method, params)["edits"]
    return edits


def starts(edits: list[Message]) -> list[tuple[int, int]]:
    return [(edit["range"]["start"]["line"], edit["range"]["start"]["character"]) for edit in edits]


@pytest.mark.parametrize("method", ["diffill/nextEdit", "textDocument/copilotInlineEdit"])
def test_a_renamed_parameter_is_renamed_where_it_is_used(repairing: LspClient, method: str) -> None:
    uri = repairing.open(RENAMED, uri=f"file:///{method[:7]}.py")
    repairing.change(uri, 2, insert(0, 9, "", end=(0, 14)))
    repairing.change(uri, 3, insert(0, 9, "wid"))
    repairing.change(uri, 4, insert(0, 12, "e"))
    edits = next_edits(repairing, uri, method)
    assert starts(edits) == [(1, 11), (2, 10)]
    assert {edit["text"] for edit in edits} == {"wide"}
    assert edits[0]["textDocument"] == {"uri": uri, "version": 4}


def test_what_no_tool_confirms_needs_the_model(repairing: LspClient, answers: Answers) -> None:
    text = "x.old_name()\ny.old_name()\nz.old_name()\n"
    uri = repairing.open(text, uri="file:///agree.js", language="javascript")
    answers.set({"y.": "newName", "z.": "other"})
    repairing.change(uri, 2, insert(0, 2, "newName", end=(0, 10)))
    assert starts(next_edits(repairing, uri)) == [(1, 2)]


def test_calls_get_the_new_argument(repairing: LspClient, answers: Answers) -> None:
    uri = repairing.open("def area(w):\n    return w * w\n\n\nprint(area(3))\n", uri="file:///call.py")
    answers.set({"area(3, ": "4)"})
    repairing.change(uri, 2, insert(0, 10, ", h"))
    (edit,) = next_edits(repairing, uri)
    assert (edit["text"], starts([edit])) == (", 4", [(4, 12)])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[LspClient, Path]]:
    """A workspace, and a server for a client with one folder."""
    files = {
        "prices.py": "def total(items):\n    return sum(items)\n",
        "cart.py": "from prices import total\n\n# total is not meant\nprint(total([1]), cart.total)\n",
        "other.py": "def total(items):\n    return 0\n\n\nprint(total([]))\n",
        "ignored.py": "from prices import total\n\nprint(total([1]))\n",
        ".gitignore": "ignored.py\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    with lsp_client(answer="2)") as client:
        client.initialize(capabilities=CAPABILITIES, workspaceFolders=[{"uri": tmp_path.as_uri(), "name": "shop"}])
        client.wait_ready()
        yield client, tmp_path


@pytest.mark.parametrize("is_open", [True, False])
def test_a_renamed_definition_is_renamed_where_it_is_imported(shop: tuple[LspClient, Path], is_open: bool) -> None:
    client, directory = shop
    cart = (directory / "cart.py").as_uri()
    if is_open:
        client.open((directory / "cart.py").read_text("utf-8"), uri=cart, version=7)
    uri = client.open((directory / "prices.py").read_text("utf-8"), uri=(directory / "prices.py").as_uri())
    client.change(uri, 2, insert(0, 4, "sum_of", end=(0, 9)))
    at = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}
    answer = client.request("diffill/nextEdit", {"textDocument": {"uri": uri}, "position": at["start"]})
    assert answer["edits"] == []
    assert [(edit["textDocument"]["uri"], edit["text"]) for edit in answer["elsewhere"]] == [(cart, "sum_of")] * 2
    assert starts(answer["elsewhere"]) == [(0, 19), (3, 6)]
    offered = [action for action in actions(client, uri, at=at) if action["title"] == "Make the same change elsewhere"]
    assert bool(offered) == is_open  # what is not open is looked for only when somebody asks
    task = {"uri": uri, "range": at}
    assert client.request("workspace/executeCommand", {"command": "diffill.nextEdit", "arguments": [task]}) == {
        "applied": True,
        "verified": False,
        "note": "2 places in other files, which no tool confirms",
    }
    edit = client.notification("workspace/applyEdit")["edit"]
    (change,) = edit["documentChanges"]
    assert change["textDocument"] == {"uri": cart, "version": 7 if is_open else None}
    assert edit["changeAnnotations"]["diffill"]["needsConfirmation"] is True


def test_calls_in_other_files_get_the_new_argument(shop: tuple[LspClient, Path]) -> None:
    client, directory = shop
    uri = client.open((directory / "prices.py").read_text("utf-8"), uri=(directory / "prices.py").as_uri())
    client.change(uri, 2, insert(0, 15, ", tax"))
    params = {"textDocument": {"uri": uri}, "position": {"line": 0, "character": 0}}
    (edit,) = client.request("diffill/nextEdit", params)["elsewhere"]
    assert (edit["textDocument"]["uri"], edit["text"]) == ((directory / "cart.py").as_uri(), ", 2")
    assert starts([edit]) == [(3, 15)]


def test_it_is_an_action_and_a_command_too(repairing: LspClient) -> None:
    uri = repairing.open(RENAMED, uri="file:///action.py")
    at = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}
    title = "Make the same change elsewhere"
    assert title not in [action["title"] for action in actions(repairing, uri, at=at)]
    repairing.change(uri, 2, insert(0, 9, "wide", end=(0, 14)))
    (action,) = [action for action in actions(repairing, uri, at=at) if action["title"] == title]
    edit = repairing.request("codeAction/resolve", action)["edit"]
    assert len(edit["documentChanges"][0]["edits"]) == 2
    task = {"uri": uri, "range": at}
    answer = repairing.request("workspace/executeCommand", {"command": "diffill.nextEdit", "arguments": [task]})
    assert answer == {"applied": True, "verified": True, "note": ""}


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a = 1\n", insert(0, 0, "b")),
        ("word = 1\n# word\nprint('word')\n", insert(0, 0, "term", end=(0, 4))),
        ("a = 1\n", insert(0, 5, "\nx = 2")),
    ],
)
def test_there_may_be_nothing_to_do(repairing: LspClient, text: str, edit: Message) -> None:
    uri = repairing.open(text, uri="file:///nothing.py")
    assert next_edits(repairing, uri) == []
    repairing.change(uri, 2, edit)
    assert next_edits(repairing, uri) == []


@pytest.mark.parametrize("params", [{}, None, {"textDocument": {"uri": 3}, "position": {}}, [1]])
def test_wrong_parameters_are_refused(repairing: LspClient, params: object) -> None:
    assert repairing.error("diffill/nextEdit", params)["code"] == -32602
