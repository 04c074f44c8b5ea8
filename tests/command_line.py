"""The command line as a user calls it: a process of its own, with a fake engine behind it."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.engine_process import FAKE_ENGINE, private_directory

HANG_GUARD_SECONDS = 240.0
COMMAND = (sys.executable, "-m", "diffill.cli.main")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run to the end; output as text."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=HANG_GUARD_SECONDS,
        check=False,
        env={**os.environ, **environment},
    )


def run_json(*arguments: str, **environment: str) -> Any:
    """Standard output as one JSON document."""
    process = run(*arguments, "--json", **environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def refused(process: subprocess.CompletedProcess[str], *, status: int = 2) -> str:
    """The one line on standard error of a command that ended with `status`."""
    assert process.returncode == status, process.stderr
    assert process.stdout == ""
    lines = process.stderr.splitlines()
    assert len(lines) == 1, process.stderr
    return lines[0]


@contextlib.contextmanager
def fake_engine(**settings: str) -> Iterator[dict[str, str]]:
    """Environment of commands that share one fake engine, which is stopped in the end; `settings` as its file says."""
    with private_directory() as directory:
        environment = {
            "DIFFILL_RUNTIME_DIR": str(directory),
            "DIFFILL_ENGINE_COMMAND": shlex.join(FAKE_ENGINE),
            **{f"DIFFILL_FAKE_{name.upper()}": value for name, value in settings.items()},
        }
        try:
            yield environment
        finally:
            run("engine", "stop", **environment)


def answers_file(directory: Path, answers: dict[str, str]) -> str:
    """A table for the fake engine: end of the prefix to answer."""
    path = directory / "answers.json"
    path.write_text(json.dumps(answers), "utf-8")
    return str(path)
