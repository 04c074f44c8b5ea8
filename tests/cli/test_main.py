from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from diffill.cli.main import COMMANDS
from tests.command_line import COMMAND, HANG_GUARD_SECONDS, fake_engine, refused, run
from tests.engine_process import until


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from diffill.cli.main import main; status = main(['--help']);"
        "print('HEAVY', *sorted({'torch', 'numpy', 'rich', 'asyncio', 'tokenizers', 'pygls'} & set(sys.modules)));"
        "sys.exit(status)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_GUARD_SECONDS, check=False
    )
    assert process.returncode == 0, process.stderr
    *lines, heavy = process.stdout.splitlines()
    assert heavy == "HEAVY"
    assert [line.split()[0] for line in lines[lines.index("Commands:") + 1 :]] == sorted(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_loaded(name: str) -> None:
    module, attribute = COMMANDS[name][0].split(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


def test_version() -> None:
    process = run("--version")
    assert process.stdout.strip() == f"diffill, version {version('diffill')}"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nonsense",), "'nonsense'"),
        (("complete",), "'FILE:LINE:COL'"),
        (("complete", "a.py:1:1", "--mode", "slow"), "'--mode'"),
        (("complete", "a.py:1:1", "--device", "tpu"), "'--device'"),
        (("complete", "a.py:1:1", "--max-tokens", "0"), "'--max-tokens'"),
        (("complete", "a.py:1:1", "--checkpoint", "nowhere"), "'--checkpoint'"),
        (("eval", "infilling"), "'--tasks'"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_argument(arguments: tuple[str, ...], named: str) -> None:
    assert named in refused(run(*arguments))


def test_a_group_without_a_subcommand_shows_its_help() -> None:
    process = run("eval")
    assert process.returncode == 2
    assert "infilling" in process.stderr


def test_interrupted_with_130() -> None:
    with fake_engine(load_seconds="30") as environment:
        process = subprocess.Popen(
            [*COMMAND, "complete", f"{__file__}:1:1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        # The engine writes its log once it listens: from then on the command waits for it.
        log = Path(environment["DIFFILL_RUNTIME_DIR"]) / "engine.log"
        until(lambda: log.exists() or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=HANG_GUARD_SECONDS)
    assert process.returncode == 130
    assert stdout == b""
    assert b"Traceback" not in stderr


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [*COMMAND, "--help"], stdout=writer, stderr=subprocess.PIPE, timeout=HANG_GUARD_SECONDS, check=False
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (1, b"")
