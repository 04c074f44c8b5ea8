"""Generated programs, run apart: a fresh interpreter with hard limits, an empty directory, no network and a timeout.

Covered: wall-clock and CPU time, memory, size of written files, new processes, the network (its own
namespace where the system allows one, refused by an audit hook everywhere), writing and deleting outside the empty
directory, the environment, the caller's files on stdin/stdout/stderr, and programs that exit early to look successful.

Not covered: reading files that the user can read, and a program written to break out. The audit hook lives in the
interpreter it guards and native code can walk around it; this stops a model's accidents, not an attacker. Systems
other than Linux have no namespaces, and macOS does not enforce the memory limit. There is no support for Windows.

JavaScript runs in Node.js under its permission model: no files but the launcher, no processes, no threads of its own.
Node.js reserves more address space than a limit could allow, so only its heap is limited; without namespaces nothing
keeps it from the network.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

Outcome = Literal["passed", "failed", "timeout"]
Language = Literal["python", "javascript"]
LAUNCHER = Path(__file__).with_name("launcher.py")
NODE_LAUNCHER = Path(__file__).with_name("launcher.js")
NODE_HEAP_MEGABYTES = 256


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one program may use."""

    wall_seconds: float = 5.0
    cpu_seconds: int = 5
    address_space_bytes: int | None = 1 << 30
    file_bytes: int = 1 << 20
    processes: int | None = 0
    """New processes and threads. The kernel exempts root, for whom the audit hook still refuses processes."""


@functools.cache
def _namespace_command() -> tuple[str, ...]:
    """The command that enters a network and process namespace of its own, or nothing where the system has none."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return ()
    command = (unshare, "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--")
    probe = subprocess.run([*command, sys.executable, "-I", "-S", "-c", ""], capture_output=True, check=False)
    return command if probe.returncode == 0 else ()


@functools.cache
def _node_command() -> tuple[str, ...]:
    """Node.js under its permission model, as the launcher takes it.

    Raises:
        ValueError: there is no Node.js, or one without permissions.
    """
    node = shutil.which("node")
    if node is not None:
        for permission in ("--permission", "--experimental-permission"):
            command = (node, "--no-warnings", permission, f"--allow-fs-read={NODE_LAUNCHER}")
            probe = subprocess.run(
                [*command, str(NODE_LAUNCHER), "word"], input=b"", capture_output=True, timeout=60, check=False
            )
            if probe.returncode == 0:
                return (*command, f"--max-old-space-size={NODE_HEAP_MEGABYTES}", str(NODE_LAUNCHER))
    raise ValueError("eval: running generated JavaScript needs Node.js 20 or newer on the PATH")


def run_program(program: str, *, language: Language = "python", limits: Limits | None = None) -> Outcome:
    """Run a program to its end; only the standard library is importable. It passes when it raises nothing.

    Raises:
        ValueError: this system cannot limit a process (Windows), or has no Node.js for JavaScript.
    """
    if os.name != "posix":
        raise ValueError("eval: running generated code needs a POSIX system (resource limits)")
    limits = limits or Limits()
    node: tuple[str, ...] = ()
    if language == "javascript":
        node = _node_command()
        limits = replace(limits, address_space_bytes=None, processes=None)
    word = secrets.token_hex(16)
    launcher = [*_namespace_command(), sys.executable, "-I", "-S", "-B", "-X", "utf8", str(LAUNCHER)]
    with (
        tempfile.TemporaryDirectory(prefix="diffill-sandbox-", ignore_cleanup_errors=True) as directory,
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as verdict,
    ):
        source.write(program.encode("utf-8", errors="surrogatepass"))
        source.seek(0)
        # Files rather than pipes: a stray descendant that holds a pipe open would keep the reader waiting.
        process = subprocess.Popen(
            [*launcher, json.dumps(asdict(limits)), word, *node],
            stdin=source,
            stdout=verdict,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env={"LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        timed_out = False
        try:
            process.wait(limits.wall_seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        verdict.seek(0)
        said = verdict.read(len(word) + 1).decode("ascii", errors="replace")
    if timed_out:
        return "timeout"
    return "passed" if said == word and process.returncode == 0 else "failed"
