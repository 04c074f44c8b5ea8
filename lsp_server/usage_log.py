"""What was offered and kept, on this machine only: numbers and language ids, never text, names or paths."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

log = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024 * 1024
"""Of one file. A full one takes the place of the one before it, so that there are never more than two."""
DIRECTORY = "DIFFILL_STATE_DIR"
"""Environment variable: another place for the file."""


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """One request for completions. `at` is Unix time."""

    at: float
    language: str
    source: str
    """`decoded`, `joined` or `cache`."""
    ms: float
    invoked: bool
    items: int


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag="accepted"):
    """One completion that was inserted, whole or in part."""

    at: float
    language: str
    characters: int
    whole: bool = True


class Retained(msgspec.Struct, frozen=True, kw_only=True, tag="retained"):
    """What was left of an accepted completion `after` so many seconds."""

    at: float
    language: str
    after: int
    characters: int
    retained: int


class Repaired(msgspec.Struct, frozen=True, kw_only=True, tag="repaired"):
    """One repair, rewrite, body or next edit that somebody asked for."""

    at: float
    language: str
    kind: str
    ms: float
    outcome: Literal["verified", "not verified", "none"]


Event = Answered | Accepted | Retained | Repaired


def usage_file() -> Path:
    """Where the events are."""
    directory = os.environ.get(DIRECTORY)
    return (Path(directory) if directory else platformdirs.user_state_path("diffill")) / "usage.jsonl"


class UsageLog:
    """Appends events. Several servers may write at once: every batch is one write to the end of the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._pending: list[Event] = []

    def add(self, event: Event) -> None:
        self._pending.append(event)

    def flush(self) -> None:
        """Write what was added. A disk that is full or not ours costs figures, never the editor."""
        if not self._pending:
            return
        data = b"".join(msgspec.json.encode(event) + b"\n" for event in self._pending)
        self._pending.clear()
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):
                if self._file.stat().st_size + len(data) > MAX_BYTES:
                    self._file.replace(_former(self._file))
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.debug("usage figures were not written: %s", error.strerror)


def read_events(file: Path) -> Iterator[Event]:
    """All events, oldest first. Lines that are not events, cut ones for example, are left out.

    Raises:
        OSError: a file is there and cannot be read.
    """
    decoder = msgspec.json.Decoder(Event)
    for path in (_former(file), file):
        if not path.exists():
            continue
        with path.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(msgspec.MsgspecError):
                    yield decoder.decode(line)


def _former(file: Path) -> Path:
    return file.with_suffix(".1.jsonl")
