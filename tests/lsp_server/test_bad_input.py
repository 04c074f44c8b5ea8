"""What no editor should send: every request is answered in the protocol's terms, and the next one works as ever.

One server takes all of it; at its end nothing in what it sent or wrote may be a traceback or quote the file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lsp_client import LspClient, framed, inline_params, insert, lsp_client

METHOD = "textDocument/inlineCompletion"
INVALID_PARAMS = -32602
CANARY = "canary_of_private_code"
WRONG: tuple[Any, ...] = (None, True, -1, 2**40, 1.5, "x", "\ud800", [], {}, [[]], {"line": "a"})
REQUESTS: dict[str, dict[str, Any]] = {
    METHOD: inline_params("file:///bad.py", 0, 4),
    "textDocument/codeAction": {
        "textDocument": {"uri": "file:///bad.py"},
        "range": {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 1}},
        "context": {"diagnostics": []},
    },
    "workspace/executeCommand": {"command": "diffill.accepted", "arguments": ["1"]},
}

HURTS = [
    ("x = ", 99, 99),
    ("x = ", 0, 2**31 - 1),
    ("x = \ud83d", 0, 5),
    ("\ud83d\ude00x = ", 0, 1),
    ("\x00\x01\x02\xff" * 500, 0, 40),
    ("x = 'é" + "a" * 100_000, 0, 100_007),
    ("🙂" * 100_000, 0, 199_999),
    ("\r" * 50_000, 25_000, 0),
    ("(" * 20_000, 0, 20_000),
    ("if x:\n" + " " * 60_000, 1, 60_000),
    ("x = " + " " * 60_000 + "y", 0, 4),
    ("x = }" + " " * 60_000 + "y", 0, 4),
]
"""Texts, and a position in each: line and character."""


@pytest.fixture(scope="module")
def client() -> Iterator[LspClient]:
    with lsp_client(answer="1") as client:
        client.initialize()
        client.wait_ready()
        yield client
        assert client.shut_down() == 0
        said = str(client.received) + client.stderr
        assert "Traceback" not in said and CANARY not in said


def works(client: LspClient) -> bool:
    """Whether the next completion is what it should be."""
    uri = client.open("x = ", uri="file:///works.py")
    items = client.request(METHOD, inline_params(uri, 0, 4))["items"]
    return [item["insertText"] for item in items] == ["1"]


def mutations(params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Copies with one member, at any depth, left out or of another type."""
    paths = [(name,) for name in params]
    paths += [(name, inner) for name, value in params.items() if isinstance(value, dict) for inner in value]
    for path in paths:
        for wrong in (*WRONG, KeyError):
            mutated = copy.deepcopy(params)
            target = mutated[path[0]] if len(path) == 2 else mutated
            if wrong is KeyError:
                del target[path[-1]]
            else:
                target[path[-1]] = wrong
            yield mutated


@pytest.mark.parametrize("method", sorted(REQUESTS))
def test_every_wrong_parameter_is_answered(client: LspClient, method: str) -> None:
    client.open(f"x = {CANARY}", uri="file:///bad.py")
    requests = [client.start_request(method, params) for params in mutations(REQUESTS[method])]
    requests += [client.start_request(method, params) for params in WRONG if not isinstance(params, dict)]
    answers = [client.answer(request) for request in requests]
    internal = [answer for answer in answers if answer.get("error", {}).get("code") == -32603]
    assert not internal
    codes = {answer["error"]["code"] for answer in answers if "error" in answer}
    assert len(answers) > 30 and INVALID_PARAMS in codes
    assert codes <= {INVALID_PARAMS, -32600, -32800, -32803}
    assert works(client)


def test_notifications_that_cannot_be_read_change_nothing(client: LspClient) -> None:
    uri = client.open("x = ", uri="file:///quiet.py", version=5)
    change = {"textDocument": {"uri": uri, "version": 6}, "contentChanges": [insert(0, 4, "wrong")]}
    for mutated in mutations(change):
        if mutated.get("textDocument") != change["textDocument"]:
            client.notify("textDocument/didChange", mutated)
    client.change(uri, 4, {"text": "a version that is gone"})
    client.change("file:///never-opened.py", 1, {"text": "x"})
    client.notify("textDocument/didClose", {"textDocument": {"uri": "file:///never-opened.py"}})
    client.notify("workspace/didChangeConfiguration", {"settings": {"diffill": {"delay": "soon", "enable": 3}}})
    result = client.request(METHOD, inline_params(uri, 0, 4))
    assert result is None or [item["insertText"] for item in result["items"]] == ["1"]
    assert works(client)


@pytest.mark.parametrize(
    ("text", "line", "character"),
    HURTS,
    ids=[
        "line",
        "column",
        "half",
        "pair",
        "binary",
        "long",
        "emoji",
        "lone CR",
        "brackets",
        "spaces",
        "gap",
        "gap behind a bracket",
    ],
)
def test_texts_and_positions_that_hurt(client: LspClient, text: str, line: int, character: int) -> None:
    for invoked in (False, True):
        uri = client.open(text, uri="file:///hurts.py")
        result = client.request(METHOD, inline_params(uri, line, character, invoked=invoked))
        assert result is None or set(result) == {"items"}
        client.change(uri, 2, insert(line, character, "y"))
    assert works(client)


def test_a_document_that_became_too_long_is_let_go(client: LspClient) -> None:
    """Were it kept, the edits that follow would land in a text that the editor does not have."""
    grown = client.open("x = ", uri="file:///grown é.py")
    other = client.open("x = ", uri="file:///other.py")
    params = {"textDocument": {"uri": grown, "version": 2}, "contentChanges": [{"text": "x = 1\n" * 3_000_000}]}
    message = {"jsonrpc": "2.0", "method": "textDocument/didChange", "params": params}
    client.send_bytes(framed(json.dumps(message, ensure_ascii=False).encode()))
    assert client.answer(None)["error"]["code"] == -32700
    assert client.request(METHOD, inline_params(grown, 0, 4)) is None
    assert client.request(METHOD, inline_params(other, 0, 4))["items"]
