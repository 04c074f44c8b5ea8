"""What goes wrong around Neovim: it stays usable, says so once, and gets on by itself where that can be."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.command_line import run_json
from tests.e2e.conftest import OTHER_VERSION, ScriptedEngine
from tests.e2e.neovim.conftest import OpenEditor, setup
from tests.e2e.neovim.editor import Editor, Home, wait_for
from tests.e2e.neovim.test_ghost_text import STOCK

pytestmark = pytest.mark.faults
COUNT = """\
said = {}
local notify = vim.notify
vim.notify = function(text, ...) said[#said + 1] = text return notify(text, ...) end
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stock.py"
    path.write_text(STOCK, "utf-8")
    return path


def said(editor: Editor, word: str) -> int:
    """How often something was said."""
    return sum(word in text for text in editor.lua("return said or {}"))


def health(editor: Editor) -> str:
    """What :checkhealth says."""
    editor.command("checkhealth diffill")
    wait_for("the report", lambda: editor.filetype() == "checkhealth")
    report = wait_for("its lines", lambda: "\n".join(editor.lines()) if len(editor.lines()) > 5 else "")
    editor.picture(f"health-{'bad' if 'ERROR' in report else 'good'}")
    return report


def test_the_engine_is_killed_in_mid_session(open_editor: OpenEditor, scripted: ScriptedEngine, file: Path) -> None:
    scripted.answers.set({"app": "end(item)"})
    editor = open_editor(file, environment=scripted.environment)
    editor.keys("G", "o")
    editor.text_and_ghost("self.items.app")
    os.kill(run_json("engine", "status", **scripted.environment)["pid"], signal.SIGKILL)
    editor.keys("Escape", "o")
    # Without another key: the request waits for the new engine.
    ghost, line = editor.text_and_ghost("print(self.items.app")
    assert line == "        print(self.items.app"
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    assert editor.messages() == ""


def test_with_a_python_that_lacks_it_it_gives_up_says_so_once_and_health_says_why(
    open_editor: OpenEditor, file: Path
) -> None:
    other = json.dumps(str(Path(sys.base_prefix, "bin", "python3")))
    command = f"vim.lsp.config('diffill', {{ cmd = {{ {other}, '-m', 'diffill.lsp_server' }} }})"
    editor = open_editor(file, before=f"{command} {' '.join(COUNT.split())}", ready=False)
    wait_for("that it is left alone", lambda: said(editor, "left alone"))
    editor.keys("G", "o")
    editor.text("still = 'usable'")
    editor.wait_line("        still = 'usable'")
    assert editor.lua("return said") == ["Diffill: the server keeps ending and is left alone; see :checkhealth diffill"]
    report = health(editor)
    assert "No module named 'diffill'" in report and "install Diffill for it" in report


def test_without_the_program_it_says_once_what_to_do(open_editor: OpenEditor, file: Path) -> None:
    nothing = "vim.lsp.config('diffill', { cmd = { '/nowhere/diffill', 'lsp' } })"
    editor = open_editor(file, file, before=f"{nothing} {' '.join(COUNT.split())}", ready=False)
    wait_for("the message", lambda: said(editor, "/nowhere/diffill"))
    editor.command(f"edit {file.with_name('other.py')}")
    editor.keys("i", "Tab")
    editor.text("x")
    editor.wait_line("    x")
    assert said(editor, "/nowhere/diffill") == 1


def test_an_engine_of_another_version_is_named(
    open_editor: OpenEditor, foreign_engine: dict[str, str], file: Path
) -> None:
    editor = open_editor(file, ready=False, environment=foreign_engine)
    wait_for("the state", lambda: editor.lua("return require('diffill').status()") == "diffill: failed")
    editor.command("Diffill status")
    wait_for("the reason", lambda: OTHER_VERSION in editor.messages())
    editor.keys("G", "o")
    editor.text("still = 'usable'")
    editor.wait_line("        still = 'usable'")


def test_a_setting_of_the_wrong_type_is_named(open_editor: OpenEditor, file: Path) -> None:
    editor = open_editor(file, before="vim.lsp.config('diffill', { settings = { diffill = { mode = 7 } } })")
    wait_for("the message", lambda: "diffill.mode" in editor.messages())
    editor.keys("G", "o")
    editor.text_and_ghost("self.items.app")


def test_health(open_editor: OpenEditor, file: Path) -> None:
    report = health(open_editor(file))
    assert "ERROR" not in report and "ready" in report and "checkpoint: " in report


def test_help(open_editor: OpenEditor, file: Path) -> None:
    editor = open_editor(file, ready=False)
    editor.command("help diffill-mappings")
    wait_for("the page", lambda: "<Plug>(diffill-accept)" in editor.screen())
    editor.picture("help")


def test_installed_and_removed_without_a_trace(home: Home) -> None:
    pack = home.directory / "data" / "nvim" / "site" / "pack" / "diffill"
    assert pack.is_dir()
    assert setup(home, "--remove").returncode == 0 and not pack.exists()
    stranger = pack / "start" / "mine"
    stranger.mkdir(parents=True)
    refused = setup(home)
    assert refused.returncode == 2 and "mine" in refused.stderr and stranger.is_dir()
    stranger.rmdir()
    assert setup(home).returncode == 0 and (pack / "start" / "diffill" / "lsp" / "diffill.lua").is_file()
