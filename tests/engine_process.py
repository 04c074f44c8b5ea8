"""Engine processes around the fake model, and a client that shares no code with ours, for the tests."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import pack_ids
from diffill.model.runtime_directory import RuntimeDirectory
from diffill.model.tokenizer import MIDDLE, PREFIX, SUFFIX, Tokenizer
from diffill.model.wire import PROTOCOL, build

FAKE_ENGINE = (sys.executable, str(Path(__file__).with_name("fake_engine.py")))
HANG_GUARD_SECONDS = 60.0
LONG_ANSWER = "word " * 2000


@functools.lru_cache
def tokenizer() -> Tokenizer:
    return Tokenizer.load(DEFAULT_CHECKPOINT)


def prompt(text: str) -> bytes:
    return pack_ids([SUFFIX, PREFIX, *tokenizer().encode(text), MIDDLE])


@contextlib.contextmanager
def private_directory() -> Iterator[Path]:
    """A short path: a socket's has about a hundred bytes, and those of pytest are long."""
    path = Path(tempfile.mkdtemp(prefix="dfl-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def processes_in(directory: str) -> list[psutil.Process]:
    """The processes that were started for a runtime directory."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if directory in process.cmdline():
                found.append(process)
    return found


def place(directory: Path) -> RuntimeDirectory:
    return RuntimeDirectory(path=directory, checkpoint=DEFAULT_CHECKPOINT, device="cpu")


def spawn(directory: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [*FAKE_ENGINE, "--checkpoint", str(DEFAULT_CHECKPOINT), "--device", "cpu", "--directory", str(directory)]
    return subprocess.Popen(
        [*command, "--idle-seconds", "60", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **{f"DIFFILL_FAKE_{name.upper()}": value for name, value in environment.items()}},
    )


@contextlib.contextmanager
def running(directory: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A fake engine that listens."""
    process = spawn(directory, *arguments, **environment)
    try:
        until(lambda: process.poll() is not None or listens(place(directory).socket))
        if process.returncode is not None:
            raise RuntimeError(process.communicate()[1].decode())
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def ends(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Exit status and standard error."""
    _, stderr = process.communicate(timeout=HANG_GUARD_SECONDS)
    return process.returncode, stderr.decode()


def until(condition: Any) -> None:
    deadline = time.monotonic() + HANG_GUARD_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("hang guard")
        time.sleep(0.01)


class PlainClient:
    """Speaks the protocol from its description: a length, then a plain MessagePack map."""

    def __init__(self, directory: Path, *, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(HANG_GUARD_SECONDS)
        self.socket.connect(str(place(directory).socket))
        if greet:
            self.send(type="hello", protocol=PROTOCOL, build=build())
            # Not an assert: those are gone under `python -O`, and what is read in one with them.
            if (reply := self.receive())["type"] != "welcome":
                raise ConnectionError(reply)

    def __enter__(self) -> PlainClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, **message: Any) -> None:
        payload = msgspec.msgpack.encode(message)
        self.socket.sendall(struct.pack("<I", len(payload)) + payload)

    def decode(self, identifier: int, text: str, **fields: Any) -> None:
        self.send(type="decode", id=identifier, request={"prompt": prompt(text), "max_tokens": 1024, **fields})

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            EOFError: the engine closed the connection.
        """
        (length,) = struct.unpack("<I", self._read(4))
        message: dict[str, Any] = msgspec.msgpack.decode(self._read(length))
        return message

    def answer(self, identifier: int) -> dict[str, Any]:
        """The answer of one request; messages before it are passed over."""
        while (message := self.receive())["id"] != identifier or message["type"] == "stepped":
            pass
        return message

    def wait_for_step(self, identifier: int) -> None:
        while (message := self.receive())["type"] != "stepped" or message["id"] != identifier:
            pass

    def status(self) -> dict[str, Any]:
        self.send(type="status", id=1 << 40)
        status: dict[str, Any] = self.answer(1 << 40)["status"]
        return status

    def wait_ready(self) -> dict[str, Any]:
        while (status := self.status())["state"] == "loading":
            time.sleep(0.01)
        return status

    def closed(self) -> bool:
        """Whether the engine ends the connection, whatever it says before."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data
