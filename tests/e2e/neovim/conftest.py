"""Real Neovims with the real server, engine and weights. `make e2e` sets them up; else these tests are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pynvim", reason="part of the extra e2e")

from tests.e2e.neovim.editor import ROOT, Editor, Home

EDITORS = Path(os.environ.get("DIFFILL_EDITORS", ROOT / "build" / "editors")) / "neovim"
VERSIONS = ("0.12", "0.11")
OpenEditor = Callable[..., Editor]
OPEN: list[Editor] = []
INIT = """\
vim.lsp.config('diffill', { settings = { diffill = { confidence = 0 } } }) -- what is shown must not hang on the weights
vim.keymap.set('i', '<Tab>', '<Plug>(diffill-accept)')
vim.keymap.set('i', '<C-f>', '<Plug>(diffill-accept-word)')
vim.keymap.set('i', '<C-e>', '<Plug>(diffill-accept-line)')
vim.keymap.set('i', '<C-j>', '<Plug>(diffill-next)')
vim.keymap.set('i', '<C-k>', '<Plug>(diffill-previous)')
vim.keymap.set('i', '<C-d>', '<Plug>(diffill-dismiss)')
vim.o.expandtab, vim.o.shiftwidth = true, 4
vim.o.statusline = "%f %m %= %{v:lua.require'diffill'.status()}"
"""


@pytest.fixture(scope="session", params=VERSIONS)
def home(
    request: pytest.FixtureRequest, engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """A person's Neovim with the plugin, installed by the one command that a person uses."""
    program = EDITORS / f"nvim-{request.param}"
    if not program.exists() or shutil.which("tmux") is None:
        pytest.skip(f"no {program}, or no tmux: run `make e2e`")
    home = Home.create(program, tmp_path_factory.mktemp(f"home-{request.param}-"), init=INIT, engine=engine)
    done = setup(home)
    assert done.returncode == 0, done.stderr
    yield home


def setup(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `diffill setup neovim` for a home."""
    command = [sys.executable, "-m", "diffill.cli.main", "setup", "neovim", "--nvim", str(home.program), *arguments]
    return subprocess.run(command, env=os.environ | home.environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def window(home: Home) -> Iterator[Editor]:
    """One Neovim that stays open from test to test, as a person's does."""
    with ExitStack() as stack:
        yield _start(stack, home)


@pytest.fixture
def open_editor(home: Home) -> Iterator[Callable[..., Editor]]:
    """Opens files in a Neovim of its own."""
    with ExitStack() as stack:

        def open_editor(
            *files: Path, before: str = "", ready: bool = True, environment: dict[str, str] | None = None
        ) -> Editor:
            place = replace(home, environment=home.environment | (environment or {}))
            editor = _start(stack, place, *files, before=before)
            if ready:
                editor.wait_ready()
            return editor

        yield open_editor


@pytest.fixture(autouse=True)
def log_without_errors(request: pytest.FixtureRequest, home: Home) -> Iterator[None]:
    before = len(home.errors())
    yield
    if request.node.get_closest_marker("faults") is None:
        assert home.errors()[before:] == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was on the screens when a test failed."""
    report = yield
    if report.failed:
        for editor in OPEN:
            editor.picture(f"failed-{item.originalname if isinstance(item, pytest.Function) else item.name}")
    return report


def _start(stack: ExitStack, home: Home, *files: Path, before: str = "") -> Editor:
    directory = Path(tempfile.mkdtemp(prefix="nv-"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    editor = Editor(home=home, socket=directory / "s", session=directory.name)
    stack.callback(editor.close)
    editor.start(*files, before=before)
    OPEN.append(editor)
    stack.callback(OPEN.remove, editor)
    return editor
