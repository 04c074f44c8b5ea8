"""How long the language server takes to answer what no editor should send.

    python -m benchmarks.bad_input [--json]

Every kind is sent to the real server, whose engine answers at once; the time is from the last byte sent to the last
answer read, so transport of a large message is left out, reading it is not. The next completion after each kind is
timed too: whatever came must not keep the following key waiting.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.report import show
from tests.lsp_client import LspClient, framed, inline_params, insert, lsp_client
from tests.lsp_server.test_bad_input import HURTS, METHOD, REQUESTS, WRONG, mutations

LIMIT_MS = 100.0
MEGABYTE = 1_000_000
Timed = Callable[[LspClient], tuple[str, float]]
"""Sends one thing and says what came back, and after how many milliseconds."""


def asked(method: str, params: Any) -> Timed:
    """One request."""

    def send(client: LspClient) -> tuple[str, float]:
        began = time.perf_counter()
        response = client.answer(client.start_request(method, params))
        elapsed = (time.perf_counter() - began) * 1000
        return (str(response["error"]["code"]) if "error" in response else "answered"), elapsed

    return send


def bytes_sent(body: bytes) -> Timed:
    """A message as bytes, answered with an error without id."""

    def send(client: LspClient) -> tuple[str, float]:
        client.send_bytes(body)
        began = time.perf_counter()
        response = client.answer(None)
        client.received.clear()
        return str(response["error"]["code"]), (time.perf_counter() - began) * 1000

    return send


def opened(text: str, line: int, character: int, *, invoked: bool = False) -> Timed:
    """A document, and a completion in it."""

    def send(client: LspClient) -> tuple[str, float]:
        uri = "file:///opened.py"
        item = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        notification = {"jsonrpc": "2.0", "method": "textDocument/didOpen", "params": {"textDocument": item}}
        client.send_bytes(framed(json.dumps(notification).encode()))
        began = time.perf_counter()
        response = client.answer(client.start_request(METHOD, inline_params(uri, line, character, invoked=invoked)))
        elapsed = (time.perf_counter() - began) * 1000
        client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
        return ("null" if response.get("result") is None else "answered"), elapsed

    return send


def kinds() -> Iterator[tuple[str, list[Timed]]]:
    """What is sent, by its name."""
    for method, params in REQUESTS.items():
        wrong = [*mutations(params), *(value for value in WRONG if not isinstance(value, dict))]
        yield f"wrong parameters of {method}", [asked(method, value) for value in wrong]
    yield "unknown method", [asked("textDocument/nothing", {})]
    yield "not JSON", [bytes_sent(framed(b'{"jsonrpc": "2.0", "id": 1,')), bytes_sent(framed(b"[" * 200_000))]
    yield "header without a length", [bytes_sent(b"Content-Type: nothing\r\n\r\n")]
    yield "closed document", [asked(METHOD, inline_params("file:///never.py", 0, 0))]
    for text, line, character in HURTS:
        name = f"{text[:12]!r}, {len(text):,} characters, at {line}:{character}"
        yield name, [opened(text, line, character), opened(text, line, character, invoked=True)]
    for megabytes in (2, 7, 60):
        lines = "x = compute(1)\n" * (megabytes * MEGABYTE // 15)
        yield f"file of {megabytes} MB", [opened(lines, 1000, 4)]
    yield "one line of 7 MB", [opened("x = '" + "a" * (7 * MEGABYTE), 0, 7 * MEGABYTE)]
    huge = b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///huge.py"}}}'
    yield "file of 200 MB", [bytes_sent(framed(huge + b" " * 200 * MEGABYTE))]
    wrong_settings = {"settings": {"diffill": {"delay": "soon", "enable": 3, "mode": [], "nothing": 1}}}
    yield "settings of wrong types", [told("workspace/didChangeConfiguration", wrong_settings)]
    stale = {"textDocument": {"uri": "file:///next.py", "version": -5}, "contentChanges": [insert(0, 0, "stale")]}
    yield "stale version", [told("textDocument/didChange", stale)]


def told(method: str, params: Any) -> Timed:
    """One notification, and a completion after it."""

    def send(client: LspClient) -> tuple[str, float]:
        began = time.perf_counter()
        client.notify(method, params)
        client.request(METHOD, inline_params("file:///next.py", 0, 4))
        return "answered", (time.perf_counter() - began) * 1000

    return send


def rows(client: LspClient) -> Iterator[dict[str, Any]]:
    """One row for each kind: how many were sent, what came back, the longest time, and that of the next completion."""
    client.open("x = ", uri="file:///next.py")
    next_completion = asked(METHOD, inline_params("file:///next.py", 0, 4))
    next_completion(client)
    for name, sent in kinds():
        found = [send(client) for send in sent]
        _, after = next_completion(client)
        client.received.clear()
        yield {
            "kind": name,
            "n": len(found),
            "answers": sorted({what for what, _ in found}),
            "max_ms": round(max(milliseconds for _, milliseconds in found), 1),
            "next_ms": round(after, 1),
        }


def untimely() -> Iterator[dict[str, Any]]:
    """Requests before `initialize` and after `shutdown`."""
    with lsp_client(answer="1") as client:
        asked("textDocument/nothing", {})(client)  # its start is not an answer's time
        what, before = asked(METHOD, inline_params("file:///a.py", 0, 0))(client)
        yield {"kind": "before initialize", "n": 1, "answers": [what], "max_ms": round(before, 1)}
        client.initialize()
        client.wait_ready()
        client.request("shutdown")
        what, after = asked(METHOD, inline_params("file:///a.py", 0, 0))(client)
        yield {"kind": "after shutdown", "n": 1, "answers": [what], "max_ms": round(after, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    found = list(untimely())
    with lsp_client(answer="1") as client:
        client.initialize(options={"delay": 0})
        client.wait_ready()
        found += rows(client)
        tracebacks = "Traceback" in str(client.received) + client.stderr
    late = [row["kind"] for row in found if row["max_ms"] > LIMIT_MS or row.get("next_ms", 0.0) > LIMIT_MS]
    show({"rows": found, "later_than_100_ms": late, "tracebacks": tracebacks}, as_json=arguments.json)


if __name__ == "__main__":
    main()
