"""`diffill lsp`: the same server on standard input and output, and on loopback TCP for debugging."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys

import pytest

from diffill.cli.main import main
from tests.lsp_client import HANG_GUARD_SECONDS, framed

COMMAND = [sys.executable, "-m", "diffill.cli.main", "lsp"]
MESSAGES = b"".join(
    framed(json.dumps({"jsonrpc": "2.0", **message}).encode())
    for message in (
        {"id": 1, "method": "initialize", "params": {"processId": None, "capabilities": {}}},
        {"id": 2, "method": "shutdown"},
        {"method": "exit"},
    )
)


def bodies(stream: bytes) -> list[object]:
    return [json.loads(part.partition(b"\r\n\r\n")[2]) for part in stream.split(b"Content-Length: ")[1:]]


def test_standard_input_and_output() -> None:
    done = subprocess.run(COMMAND, input=MESSAGES, capture_output=True, timeout=HANG_GUARD_SECONDS)
    assert done.returncode == 0
    assert [body["id"] for body in bodies(done.stdout) if isinstance(body, dict)] == [1, 2]


def test_one_connection_over_tcp() -> None:
    with subprocess.Popen([*COMMAND, "--tcp", "127.0.0.1:0"], stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        announced = re.search(rb"listening on port (\d+)", process.stderr.readline())
        assert announced
        with socket.create_connection(("127.0.0.1", int(announced.group(1))), timeout=HANG_GUARD_SECONDS) as connection:
            connection.sendall(MESSAGES)
            stream = b""
            while chunk := connection.recv(65536):
                stream += chunk
        assert process.wait(timeout=HANG_GUARD_SECONDS) == 0
    assert [body["id"] for body in bodies(stream) if isinstance(body, dict)] == [1, 2]


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:5000", "192.168.1.4:5000", "example.org:80", ":5000", "localhost", "localhost:x", "[::]:1", "::1:99999"],
)
def test_addresses_that_others_can_reach_are_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lsp", "--tcp", address]) == 2
    assert "--tcp" in capsys.readouterr().err
