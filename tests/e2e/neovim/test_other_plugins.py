"""Beside plugins that draw a menu, as the help page says to set them up: its own lines are what is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.neovim.conftest import EDITORS, OpenEditor
from tests.e2e.neovim.editor import ROOT, Editor, wait_for
from tests.e2e.neovim.test_ghost_text import STOCK

HELP = (ROOT / "editor-extension" / "neovim" / "doc" / "diffill.txt").read_text("utf-8")
WORDS = """\
local cmp = require('cmp')
cmp.register_source('words', {
  complete = function(_, _, answer) answer({ { label = 'append' }, { label = 'apply' } }) end,
})
cmp.setup({ sources = { { name = 'words' } } })
"""


def told_setup(plugin: str) -> str:
    """The Lua that the help page gives for a plugin."""
    found = re.search(rf"[Ww]ith {re.escape(plugin)}: >lua\n(.*?)\n<?\n?(?=<|\S)", HELP, re.DOTALL)
    assert found, plugin
    return found.group(1)


def with_plugin(open_editor: OpenEditor, name: str, file: Path) -> Editor:
    directory = EDITORS / "plugins" / name
    if not directory.exists():
        pytest.skip(f"no {directory}: its repository could not be reached")
    file.write_text(STOCK, "utf-8")
    return open_editor(file, before=f"vim.opt.runtimepath:prepend('{directory}')")


def test_tab_goes_through_the_menu_of_nvim_cmp_and_else_takes_ghost_text(
    open_editor: OpenEditor, tmp_path: Path
) -> None:
    editor = with_plugin(open_editor, "nvim-cmp", tmp_path / "stock.py")
    editor.lua(f"{WORDS}\n{told_setup('nvim-cmp')}")

    def is_open() -> bool:
        return bool(editor.lua("return require('cmp').visible()"))

    def open_menu() -> None:  # by itself it does so a while after a key, or not if many come at once
        editor.lua("require('cmp').complete()")
        wait_for("the menu", is_open)

    editor.keys("G", "o")
    ghost, line = editor.text_and_ghost("self.items.app")
    open_menu()
    editor.picture("nvim-cmp")
    editor.lua("require('cmp').close()")
    assert not is_open() and editor.ghost() == ghost
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    editor.keys("Escape", "o")
    editor.text("app")
    wait_for("the text", lambda: editor.line().endswith("app"))
    open_menu()
    editor.keys("Tab")
    wait_for("the first word", lambda: editor.line().endswith(("append", "apply")))


def test_tab_takes_ghost_text_beside_the_menu_of_blink(open_editor: OpenEditor, tmp_path: Path) -> None:
    editor = with_plugin(open_editor, "blink.cmp", tmp_path / "stock.py")
    # Its faster matcher is a program to be fetched.
    editor.lua(
        f"require('blink.cmp.config').merge_with({{ fuzzy = {{ implementation = 'lua' }} }})\n{told_setup('blink.cmp')}"
    )
    editor.keys("G", "o")
    ghost, line = editor.text_and_ghost("self.it")
    editor.lua("require('blink.cmp').show()")
    wait_for("the menu", lambda: editor.lua("return require('blink.cmp').is_menu_visible()"))
    assert editor.wait_ghost() == ghost
    editor.picture("blink")
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    assert not editor.messages()
