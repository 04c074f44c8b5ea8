"""A repair that a tool of the editor speaks against once it is applied: Neovim asks, and can take it back."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import ScriptedEngine
from tests.e2e.neovim.conftest import OpenEditor
from tests.e2e.neovim.editor import Editor, wait_for

FAULTY = "function f(a) {\n  return a.lenght;\n}\n"


def report(editor: Editor, message: str) -> None:
    """What a tool does that checks the buffer."""
    editor.lua(
        "vim.diagnostic.set(vim.api.nvim_create_namespace('checker'), 0, {{ lnum = 1, col = 11, end_col = 17,"
        " message = ..., code = 2551, source = 'checker', severity = vim.diagnostic.severity.ERROR }})",
        message,
    )


def test_a_doubtful_repair_is_taken_back(open_editor: OpenEditor, scripted: ScriptedEngine, tmp_path: Path) -> None:
    file = tmp_path / "length.js"
    file.write_text(FAULTY, "utf-8")
    scripted.answers.set({"return a.": "length"})
    editor = open_editor(file, environment=scripted.environment)
    report(editor, "Property 'lenght' does not exist")
    editor.command("2")
    editor.command("Diffill fix")
    wait_for("the diff", lambda: editor.filetype() == "diff")
    editor.keys("y")
    wait_for("the repair", lambda: "  return a.length;" in editor.lines())
    report(editor, "Property 'length' does not exist either")
    wait_for("the question", lambda: "now reports" in editor.screen() and "Undo the repair" in editor.screen())
    editor.keys("1", "Enter")
    wait_for("the text as it was", lambda: editor.lines() == FAULTY.splitlines())
