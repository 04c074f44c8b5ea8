"""What every real editor under test shares."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from diffill.model.engine_settings import EngineSettings
from diffill.model.wire import Failed, encode_frame
from tests.command_line import fake_engine, run
from tests.engine_process import private_directory
from tests.fake_answers import Answers

HANG_SECONDS = 300.0
OTHER_VERSION = "the engine speaks protocol 0 of build 0.0.1"


@pytest.fixture(scope="session")
def terminal(pytestconfig: pytest.Config) -> Iterator[int]:
    """The real standard error, which pytest puts a file in place of while a test runs."""
    capturing = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capturing is not None
    with capturing.global_and_fixture_disabled():
        descriptor = os.dup(2)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(autouse=True)
def hang_guard(terminal: int) -> Iterator[None]:
    """An editor that waits for a key answers nobody, and no other time limit reaches whoever asked it."""
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=terminal)
    yield
    faulthandler.cancel_dump_traceback_later()


@dataclass(frozen=True, kw_only=True)
class ScriptedEngine:
    """The real engine process around a model that is told its answers: for what must not hang on the weights."""

    environment: dict[str, str]
    answers: Answers


@pytest.fixture(scope="session")
def scripted() -> Iterator[ScriptedEngine]:
    with private_directory() as directory:
        answers = Answers(directory / "answers.json")
        with fake_engine(table=str(answers.path)) as told:
            environment = told | {"DIFFILL_DEVICE": "cpu"}  # as the homes of the editors have it: engines differ by it
            yield ScriptedEngine(environment=environment, answers=answers)
            run("engine", "stop", **environment)


@pytest.fixture
def foreign_engine() -> Iterator[dict[str, str]]:
    """Environment in which an engine of another version has taken the place of ours."""
    with private_directory() as directory, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(EngineSettings(directory=directory, device="cpu").runtime_directory().socket))
        listener.listen()
        threading.Thread(target=_refuse_all, args=(listener,), daemon=True).start()
        yield {"DIFFILL_RUNTIME_DIR": str(directory), "DIFFILL_DEVICE": "cpu"}


def _refuse_all(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is closed
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(encode_frame(Failed(id=0, code="bad_request", message=OTHER_VERSION)))


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """One engine for the whole run, as a person has one; a short path, for sockets have about a hundred bytes."""
    directory = Path(tempfile.mkdtemp(prefix="dfl-"))
    environment = {
        "DIFFILL_RUNTIME_DIR": str(directory),
        "DIFFILL_STATE_DIR": str(directory / "state"),
        "DIFFILL_DEVICE": "cpu",
    }
    yield environment
    subprocess.run(
        [sys.executable, "-m", "diffill.cli.main", "engine", "stop"], env=os.environ | environment, capture_output=True
    )
    shutil.rmtree(directory, ignore_errors=True)
