"""`diffill setup vscode` through the command line of the real VS Code."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

import pytest

from diffill.cli.vscode_extension import PACKED
from tests.command_line import run
from tests.e2e.vscode.installation import Installation

MOST_BYTES = 400_000


def test_it_is_small(vsix: Path) -> None:
    assert vsix.stat().st_size <= MOST_BYTES


def test_it_is_installed_checked_and_taken_away(
    installation: Installation, engine: dict[str, str], vsix: Path, tmp_path: Path
) -> None:
    if not PACKED.exists():
        pytest.skip("run `make extension`")
    code = tmp_path / "code"
    where = [f"--extensions-dir={tmp_path / 'extensions'}", f"--server-data-dir={tmp_path / 'server'}"]
    code.write_text(f'#!/bin/sh\nexec {shlex.join(installation.command(*where))} "$@"\n')
    code.chmod(0o755)
    environment = engine | {"XDG_DATA_HOME": str(tmp_path), "EXTENSIONS_GALLERY": '{"serviceUrl":""}'}
    done = run("setup", "vscode", "--code", str(code), **environment)
    assert done.returncode == 0, done.stderr
    assert "works: " in done.stdout
    assert (tmp_path / "diffill" / "interpreter").read_text() == f"{sys.executable}\n"
    assert list((tmp_path / "extensions").glob("diffill.diffill-*"))
    assert run("setup", "vscode", "--code", str(code), "--remove", **environment).returncode == 0
    assert not (tmp_path / "diffill" / "interpreter").exists()
    shutil.rmtree(tmp_path / "server", ignore_errors=True)
