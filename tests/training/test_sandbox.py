"""Every limit is tested by a program that passes exactly when the limit does not hold."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import psutil
import pytest

from diffill.training.evaluation import sandbox
from diffill.training.evaluation.sandbox import Limits, run_program
from tests.engine_process import until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="resource limits are POSIX")


@pytest.fixture(params=["namespaces", "no namespaces"], autouse=True)
def namespaces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything must also hold where the system has no namespaces to offer."""
    if request.param == "no namespaces":
        monkeypatch.setattr(sandbox, "_namespace_command", lambda: ())


@pytest.mark.parametrize(
    "program",
    [
        "",
        "assert sum(range(4)) == 6",
        "from __future__ import annotations\nimport math, re, collections, functools, heapq, hashlib, random, datetime",
        "print('x' * 100_000); import sys; print('y', file=sys.stderr)",
        "with open('notes.txt', 'w') as file: file.write('x')\nimport os; os.remove('notes.txt')",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    b: 'int' = 0\nassert A().b == 0",
        "assert __name__ == '__main__'\nimport os; assert os.listdir() == []",
        "x = 'ünïcode 🙂'; assert len(x) == 9",
        "try:\n    input()\nexcept EOFError:\n    pass",
    ],
)
def test_well_behaved_programs_pass(program: str) -> None:
    assert run_program(program) == "passed"


@pytest.mark.parametrize(
    "program",
    [
        "assert False",
        "1 / 0",
        "def (",
        "x = '\ud800'",
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import os; os._exit(0)",
        "import os; os.write(1, b'0' * 32); os._exit(0)",
        "import os, signal; signal.raise_signal(signal.SIGKILL) if os.getpid() != 1 else os._exit(9)",
        "def f(): f()\nf()",
        "x = bytearray(3 << 30)",
        "x = [0]\nwhile True: x += x",
        "open('big', 'wb').write(b'0' * (8 << 20))",
        "import os\nif os.fork() == 0: os._exit(0)",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.execv('/bin/true', ['true'])",
        "import ctypes",
        "import torch",
        "import os; assert 'HOME' in os.environ or 'PATH' in os.environ",
    ],
)
def test_accidents_fail(program: str) -> None:
    assert run_program(program) == "failed"


def test_a_program_that_does_not_end_is_stopped() -> None:
    limits = Limits(wall_seconds=0.53125)  # a number that no other process has among its arguments
    assert run_program("while True: pass", limits=limits) == "timeout"
    assert run_program("import time; time.sleep(600)", limits=limits) == "timeout"
    until(lambda: not [process for process in psutil.process_iter(["cmdline"]) if "0.53125" in str(process.info)])


def test_a_program_that_only_counts_runs_out_of_processor_time() -> None:
    assert run_program("while True: pass", limits=Limits(wall_seconds=60.0, cpu_seconds=1)) == "failed"


def test_nothing_is_written_or_removed_outside(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("mine", "utf-8")
    for program in (
        f"open({str(kept)!r}, 'w')",
        f"open({str(tmp_path / 'new')!r}, 'x')",
        f"import os; os.open({str(tmp_path / 'new')!r}, os.O_CREAT | os.O_WRONLY)",
        f"import os; os.remove({str(kept)!r})",
        f"import os; os.rename({str(kept)!r}, 'moved')",
        f"import os; os.mkdir({str(tmp_path / 'new')!r})",
        f"import shutil; shutil.rmtree({str(tmp_path)!r})",
        f"import os; os.symlink({str(tmp_path)!r}, 'link'); open('link/new', 'w')",
        f"import pathlib; pathlib.Path({str(kept)!r}).write_text('theirs')",
        f"import pathlib; pathlib.Path({str(kept)!r}).unlink()",
        f"import os; os.remove({os.fsencode(kept)!r})",
    ):
        assert run_program(program) == "failed", program
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text("utf-8") == "mine"


def test_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"import socket; socket.create_connection(('127.0.0.1', {port}))"
        exec(compile(program, "here", "exec"), {})  # it would succeed outside
        assert run_program(program) == "failed"


def test_the_word_for_success_is_not_among_the_arguments() -> None:
    assert run_program("import sys; assert len(sys.argv) == 1; assert sys.stdin.read() == ''") == "passed"


needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js here")


@needs_node
@pytest.mark.parametrize(
    "program",
    [
        "",
        "console.assert([1, 2].includes(2))\nconst area = (a, b) => a * b\nconsole.assert(area(3, 4) === 12)",
        "console.log('x'.repeat(100000)); console.error('y')",
        "const { strictEqual } = require('assert'); strictEqual('ü🙂'.length, 3)",
    ],
)
def test_well_behaved_scripts_pass(program: str) -> None:
    assert run_program(program, language="javascript") == "passed"


@needs_node
@pytest.mark.parametrize(
    "program",
    [
        "console.assert(1 === 2)",
        "throw new Error('x')",
        "const x = (",
        "process.exit(0)",
        "require('fs').writeFileSync('big', 'x')",
        "require('fs').readFileSync('/etc/hostname')",
        "require('child_process').execSync('true')",
        "new (require('worker_threads').Worker)('1', { eval: true })",
        "const x = []; for (;;) x.push(new Array(1e6).fill(0.5))",
    ],
)
def test_scripts_that_do_what_they_may_not_fail(program: str) -> None:
    assert run_program(program, language="javascript") == "failed"


@needs_node
def test_an_endless_script_ends() -> None:
    assert (
        run_program("for (;;) {}", language="javascript", limits=Limits(cpu_seconds=1, wall_seconds=60.0)) == "failed"
    )


def test_without_node_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox._node_command.cache_clear()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=r"^eval: .*Node\.js"):
        run_program("", language="javascript")
