"""A plan: `diffill` commands one after another, in the background of a machine that will be gone at a known time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

SECONDS_LEFT = "{seconds_left}"
"""In a step's arguments: seconds until the deadline."""
POLL_SECONDS = 0.2
STATE_FILE, LOG_FILE = "state.json", "log.txt"


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a plan stands."""

    steps: list[list[str]]
    deadline: float
    """Unix time."""
    process: int | None = None
    """Of the step that runs."""
    codes: list[int] = []
    """Exit codes of the steps that ended."""

    @property
    def done(self) -> bool:
        return len(self.codes) == len(self.steps)


def read_plan(path: Path) -> list[list[str]]:
    """The steps of a plan file: a JSON list of argument lists of `diffill`, or with `-m` first of Python.

    Raises:
        ValueError: it cannot be read, or is no such list.
    """
    try:
        steps = msgspec.json.decode(path.read_bytes(), type=list[list[str]])
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"plan: {path}: {error}") from None
    if not steps or not all(steps):
        raise ValueError(f"plan: {path} holds no step, or an empty one")
    return steps


def start(plan: Path, directory: Path, *, seconds: float) -> None:
    """Begin `plan` in a process of its own session, which outlives the terminal and the command that began it.

    Raises:
        ValueError: the plan is not one, or `directory` has one already.
    """
    state = State(steps=read_plan(plan), deadline=time.time() + seconds)
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / STATE_FILE).exists():
        raise ValueError(f"directory: {directory} has a plan already")
    _write(directory, state)
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def run(directory: Path) -> None:
    """All steps in turn. One that fails does not keep the next from running: weights must get out whatever happened."""
    state = read_state(directory)
    with (directory / LOG_FILE).open("ab") as log:
        for step in state.steps:
            left = max(1.0, state.deadline - time.time())
            arguments = [argument.replace(SECONDS_LEFT, f"{left:.0f}") for argument in step]
            log.write(f"$ {'python' if arguments[0] == '-m' else 'diffill'} {' '.join(arguments)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                [sys.executable, *(arguments if arguments[0] == "-m" else ("-m", "diffill.cli.main", *arguments))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            state = msgspec.structs.replace(state, process=process.pid)
            _write(directory, state)
            code = process.wait()
            log.write(f"exit code {code}\n".encode())
            log.flush()
            state = msgspec.structs.replace(state, process=None, codes=[*state.codes, code])
            _write(directory, state)


def watch(directory: Path, *, seconds: float, metrics: Path | None = None) -> Iterator[str]:
    """Lines of the log and of a metrics file as they come, until the plan is done or the time is over."""
    until = time.monotonic() + seconds
    sources = [directory / LOG_FILE, *([metrics] if metrics else [])]
    places = dict.fromkeys(sources, 0)
    while True:
        done = read_state(directory).done
        for source in sources:
            if source.exists():
                with source.open("rb") as stream:
                    stream.seek(places[source])
                    data = stream.read()
                whole = data if done else data[: data.rfind(b"\n") + 1]
                places[source] += len(whole)
                yield from whole.decode("utf-8", "replace").splitlines()
        if done or time.monotonic() >= until:
            return
        time.sleep(POLL_SECONDS)


def finish(directory: Path) -> None:
    """Ask the step that runs to end early, as a training stage does with its weights saved; the plan goes on."""
    process = read_state(directory).process
    if process is not None:
        os.kill(process, signal.SIGTERM)


def read_state(directory: Path) -> State:
    """Raises ValueError when no plan was begun in `directory`."""
    try:
        return msgspec.json.decode((directory / STATE_FILE).read_bytes(), type=State)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"directory: {directory} has no plan: {error}") from None


def _write(directory: Path, state: State) -> None:
    beside = directory / f".{STATE_FILE}.part"
    beside.write_bytes(msgspec.json.encode(state) + b"\n")
    beside.replace(directory / STATE_FILE)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
