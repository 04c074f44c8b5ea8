"""`Fix this`, rewrites and next edits in Neovim: seen as a diff, taken or left, undone in one step."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ScriptedEngine
from tests.e2e.neovim.conftest import OpenEditor
from tests.e2e.neovim.editor import Editor, wait_for

RUFF = Path(sys.executable).with_name("ruff")
FAULTY = "import os\n\n\ndef area(width, height):\n    return width * height\n"
AREA = "def area(width, height):\n    return width * height\n"
REWRITTEN = "def area(width, height):\n    size = width * height\n    return size\n"


@pytest.fixture
def editor(window: Editor, tmp_path: Path) -> Editor:
    file = tmp_path / "area.py"
    file.write_text(FAULTY, "utf-8")
    window.open(file)
    return window


def preview(editor: Editor) -> list[str]:
    """The lines of the diff, once it is on the screen."""
    wait_for("the diff", lambda: editor.filetype() == "diff")
    return editor.lines()


def start_ruff(editor: Editor) -> None:
    program = shutil.which("ruff") or str(RUFF)
    editor.lua(
        "vim.lsp.config('ruff', { cmd = { ..., 'server' }, filetypes = { 'python' } }) vim.lsp.enable('ruff')", program
    )
    wait_for("a diagnostic", lambda: editor.lua("return #vim.diagnostic.get(0)"))


def test_a_diagnostic_of_ruff_is_fixed(editor: Editor, tmp_path: Path) -> None:
    start_ruff(editor)
    editor.command("1")
    editor.command("Diffill fix")
    assert "-import os" in preview(editor)
    editor.wait_screen("y take")
    editor.picture("fix")
    editor.keys("y")
    wait_for("the fix", lambda: "import os" not in editor.lines() and "def area(width, height):" in editor.lines())
    wait_for("ruff's agreement", lambda: editor.lua("return #vim.diagnostic.get(0)") == 0)
    editor.command("w")
    wait_for("the file", lambda: "import os" not in (tmp_path / "area.py").read_text("utf-8"))
    editor.keys("u")
    wait_for("the text as it was", lambda: editor.lines() == FAULTY.splitlines())


def test_the_actions_of_neovim_itself_do_it_too(editor: Editor) -> None:
    start_ruff(editor)
    editor.command("1")
    editor.lua(
        "local found = vim.tbl_map(function(d) return d.user_data.lsp end, vim.diagnostic.get(0)) "
        "local function ours(action) return action.title:match('^Fix this') ~= nil end "
        "vim.lsp.buf.code_action({ apply = true, filter = ours, context = { diagnostics = found } })"
    )
    wait_for("the fix", lambda: "import os" not in editor.lines())


def test_a_diff_that_is_left_changes_nothing(editor: Editor) -> None:
    start_ruff(editor)
    editor.command("1")
    editor.command("Diffill fix")
    preview(editor)
    editor.keys("n")
    wait_for("the file's window", lambda: editor.filetype() == "python")
    assert editor.lines() == FAULTY.splitlines()


def test_where_nothing_is_reported_it_says_so(editor: Editor) -> None:
    editor.command("5")
    editor.command("Diffill fix")
    wait_for("the message", lambda: "no diagnostic in this line" in editor.messages())


def test_a_rewrite_is_seen_taken_and_undone_in_one_step(
    open_editor: OpenEditor, scripted: ScriptedEngine, tmp_path: Path
) -> None:
    file = tmp_path / "area.py"
    file.write_text(AREA, "utf-8")
    scripted.answers.set({"return width * height\n": REWRITTEN})
    editor = open_editor(file, environment=scripted.environment)
    editor.command("1,2Diffill rewrite name the product")
    assert preview(editor)[-3:] == ["-    return width * height", "+    size = width * height", "+    return size"]
    editor.picture("rewrite")
    assert editor.lua("return vim.api.nvim_buf_get_lines(1, 0, -1, true)") == AREA.splitlines()
    editor.keys("y")
    wait_for("the rewrite", lambda: editor.lines() == REWRITTEN.splitlines())
    editor.keys("u")
    wait_for("the text as it was", lambda: editor.lines() == AREA.splitlines())
    scripted.answers.set({"return width * height\n": AREA})
    editor.command("Diffill rewrite")  # without an instruction: it asks
    wait_for("the question", lambda: "Rewrite:" in editor.screen())
    editor.text("leave it")
    editor.keys("Enter")
    wait_for("that there is nothing to show", lambda: "No safe fix" in editor.messages())
    assert editor.lines() == AREA.splitlines()


def test_the_same_change_is_made_where_it_is_due(window: Editor, tmp_path: Path) -> None:
    file = tmp_path / "rename.py"
    file.write_text("def area(width, height):\n    size = width * height\n    print(width)\n    return size\n", "utf-8")
    window.open(file)
    window.keys("f", "w", "c", "w")
    window.text("wide")
    window.command("Diffill next-edit")
    wait_for("the first place", lambda: window.cursor() == (2, 11) or window.messages())
    assert window.cursor() == (2, 11), window.messages()
    window.picture("next-edit")
    window.command("Diffill next-edit")
    wait_for("the second place", lambda: window.cursor() == (3, 10))
    window.command("Diffill next-edit")
    expected = ["def area(wide, height):", "    size = wide * height", "    print(wide)", "    return size"]
    wait_for("all of it", lambda: window.lines() == expected)
