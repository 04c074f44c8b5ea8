"""Runs inside the sandbox, as a script: limits itself, then runs the program on standard input.

`launcher.py LIMITS WORD` runs Python; with a command behind the word, that command takes this process over, within the
limits. It imports the standard library only. It prints the word it was given when the whole program has run to its
end, so that an early `sys.exit(0)` does not count as success.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import types
from typing import Any

# Audit events, by how they begin.
REFUSED = (
    "socket.", "subprocess.", "ctypes.", "pty.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn",
    "os.kill",
)  # fmt: skip
CHANGES = (
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
    "os.utime", "shutil.rmtree", "shutil.move",
)  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def limit(limits: dict[str, int | None]) -> None:
    """Set the hard limits, which cannot be raised again; None sets none."""
    for name, value in (
        ("RLIMIT_CPU", limits["cpu_seconds"]),
        ("RLIMIT_AS", limits["address_space_bytes"]),
        ("RLIMIT_FSIZE", limits["file_bytes"]),
        ("RLIMIT_NPROC", limits["processes"]),
        ("RLIMIT_CORE", 0),
    ):
        # Not every system has, or accepts, every limit.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            if value is not None:
                resource.setrlimit(getattr(resource, name), (value, value))


class Guard:
    """An audit hook: nothing is changed outside the working directory, and nobody else is talked to."""

    def __init__(self) -> None:
        self._home = os.path.realpath(os.curdir) + os.sep

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(REFUSED):
            raise PermissionError(event)
        if event in CHANGES and any(self._outside(argument) for argument in arguments):
            raise PermissionError(event)
        if event == "open" and arguments[2] & WRITES and self._outside(arguments[0]):
            raise PermissionError(event)

    def _outside(self, path: object) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        return not (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(self._home)


def launch() -> None:
    """Run the program."""
    limits, word, command = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:]
    limit(limits)
    if command:
        os.execv(command[0], [*command, word])
    del sys.argv[1:]
    program = sys.stdin.buffer.read()
    verdict = os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    code = compile(program, "<program>", "exec", dont_inherit=True)
    sys.addaudithook(Guard())
    exec(code, module.__dict__)
    os.write(verdict, word.encode())


if __name__ == "__main__":
    launch()
