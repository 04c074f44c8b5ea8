"""`diffill engine` as a user runs it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine_process import FAKE_ENGINE, HANG_GUARD_SECONDS, private_directory

Result = subprocess.CompletedProcess[str]
Run = Callable[..., Result]


@pytest.fixture
def diffill() -> Iterator[Run]:
    with private_directory() as directory:

        def run(*arguments: str, **environment: str) -> Result:
            return subprocess.run(
                [sys.executable, "-m", "diffill.cli.main", "engine", *arguments],
                env={
                    **os.environ,
                    "DIFFILL_RUNTIME_DIR": str(directory),
                    "DIFFILL_ENGINE_COMMAND": shlex.join(FAKE_ENGINE),
                    **environment,
                },
                capture_output=True,
                text=True,
                timeout=HANG_GUARD_SECONDS,
            )

        yield run
        run("stop")


def test_start_status_stop(diffill: Run) -> None:
    started = diffill("start", "--json")
    assert started.returncode == 0, started.stderr
    document = json.loads(started.stdout)
    assert document["state"] == "ready" and document["device"] == "cpu" and document["requests"] == 0
    assert document["model"] == {"name": "fake", "hash": "0" * 12, "adapter": None}
    assert Path(document["directory"]).is_dir() and document["uptime_s"] >= 0

    again = json.loads(diffill("start", "--json").stdout)
    current = diffill("status", "--json")
    assert current.returncode == 0
    assert json.loads(current.stdout)["pid"] == again["pid"] == document["pid"]
    assert str(document["pid"]) in diffill("status").stdout

    stopped = diffill("stop", "--json")
    assert stopped.returncode == 0 and json.loads(stopped.stdout)["state"] == "stopped"


@pytest.mark.parametrize("command", ["stop", "status"])
def test_without_an_engine(diffill: Run, command: str) -> None:
    answer = diffill(command, "--json")
    assert answer.returncode == 1 and json.loads(answer.stdout)["state"] == "stopped"
    answer = diffill(command)
    assert answer.returncode == 1 and answer.stdout.startswith("engine: none ")


def test_each_device_has_its_own_engine(diffill: Run) -> None:
    try:
        first = json.loads(diffill("start", "--json", "--device", "cuda").stdout)
        assert first["device"] == "cuda"
        assert diffill("status", "--json").returncode == 1
    finally:
        assert diffill("stop", "--device", "cuda").returncode == 0


def test_a_load_that_fails_is_one_line_and_status_2(diffill: Run) -> None:
    line = "checkpoint: shard 1 is cut short"
    answer = diffill("start", "--json", DIFFILL_FAKE_LOAD_ERROR=line)
    assert answer.returncode == 2
    document = json.loads(answer.stdout)
    assert document["state"] == "failed" and document["detail"] == line
    assert answer.stderr.strip() == f"diffill: {line}"


@pytest.mark.parametrize(
    "arguments, environment, word",
    [
        (["start", "--checkpoint", "/nonexistent"], {}, "--checkpoint"),
        (["status"], {"DIFFILL_ENGINE_COMMAND": "'"}, "DIFFILL_ENGINE_COMMAND"),
        (["status"], {"DIFFILL_RUNTIME_DIR": "/dev/null"}, "directory: /dev/null"),
        (["start"], {"DIFFILL_RUNTIME_DIR": "/dev/null/x"}, "directory: "),
        (["start", "--colour"], {}, "--colour"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    diffill: Run, arguments: list[str], environment: dict[str, str], word: str
) -> None:
    answer = diffill(*arguments, **environment)
    assert answer.returncode == 2 and answer.stdout == ""
    assert word in answer.stderr and answer.stderr.count("\n") == 1


def test_it_does_not_import_torch() -> None:
    code = "import sys, diffill.cli.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=HANG_GUARD_SECONDS).returncode == 0
