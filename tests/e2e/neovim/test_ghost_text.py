"""Typing in Neovim: ghost text, taken whole or in part, looked through, undone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.neovim.conftest import OpenEditor
from tests.e2e.neovim.editor import Editor, wait_for

STOCK = """\
class Stock:
    def __init__(self, items):
        self.items = items

    def count(self):
        return len(self.items)

    def add(self, item):
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stock.py"
    path.write_text(STOCK, "utf-8")
    return path


@pytest.fixture
def editor(window: Editor, file: Path) -> Editor:
    """Typed so far: the beginning of a statement, with ghost text after it."""
    window.open(file)
    window.keys("G", "o")
    window.text_and_ghost("self.items.app")
    return window


def test_what_is_shown_is_accepted_and_saved(editor: Editor, file: Path) -> None:
    ghost, line = editor.wait_ghost(), editor.line()
    editor.wait_screen(ghost.split("\n")[0])
    editor.picture("ghost-text")
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    editor.command("w")
    wait_for("the file", lambda: file.read_text("utf-8") == STOCK + line + ghost + "\n")


def test_tab_is_a_tab_where_nothing_is_shown(editor: Editor) -> None:
    editor.keys("Escape", "O", "Tab")
    wait_for("the indentation", lambda: editor.line().endswith("    "))


def test_words_are_accepted_one_by_one(editor: Editor) -> None:
    ghost, line = editor.wait_ghost(), editor.line()
    word = re.match(r"\s*\w+|\s*[^\w\s]+", ghost)
    assert word
    editor.keys("C-f")
    editor.wait_line(line + word.group())
    assert wait_for("the rest", lambda: editor.ghost() == ghost[len(word.group()) :] or len(ghost) == word.end())
    editor.keys("C-e")
    editor.wait_line(line + ghost.split("\n")[0])


def test_typing_what_is_shown_goes_on_through_it(editor: Editor) -> None:
    ghost, line = editor.wait_ghost(), editor.line()
    for count, letter in enumerate(ghost[:3], 1):
        editor.text(letter)
        wait_for("what is left", lambda count=count: editor.ghost() == ghost[count:])
    editor.keys("Tab")
    editor.wait_line(line + ghost)


def test_typing_otherwise_takes_it_away(editor: Editor) -> None:
    ghost, line = editor.wait_ghost(), editor.line()
    other = "q" if ghost[0] != "q" else "z"
    editor.text(other)
    wait_for("another answer or none", lambda: editor.ghost() != ghost and editor.line() == line + other)
    assert editor.ghost() != ghost[1:]


def test_several_answers_are_looked_through(editor: Editor) -> None:
    # More than one word may follow; asked for before Neovim tells of the keys before it.
    editor.burst("BSpace", "BSpace", "BSpace", "C-j")
    shown = wait_for("the number of the answer", lambda: re.search(r"(?s)^(.*) \((\d)/(\d)\)$", editor.ghost()))
    assert int(shown.group(3)) > 1
    editor.picture("several-answers")
    editor.keys("C-j")
    other = wait_for("another", lambda: editor.ghost() != shown.group() and editor.ghost())
    assert not other.startswith(shown.group(1)) and other.endswith(f"/{shown.group(3)})")
    editor.keys("C-k")
    wait_for("the first again", lambda: editor.ghost() == shown.group())


def test_beside_an_open_menu(window: Editor, file: Path) -> None:
    file.write_text("# appendix\n" + STOCK, "utf-8")
    window.open(file)
    window.command("setlocal completeopt=menuone,noselect")
    window.keys("G", "o")
    ghost, line = window.text_and_ghost("self.items.app")
    window.keys("C-n")
    wait_for("the menu", lambda: window.nvim.funcs.pumvisible())
    assert window.wait_ghost() == ghost
    window.picture("menu")
    window.keys("Tab")
    window.wait_line(line + ghost)


def test_dismissed_until_the_next_key(editor: Editor) -> None:
    ghost, line = editor.wait_ghost(), editor.line()
    editor.keys("C-d")
    wait_for("nothing", lambda: not editor.ghost())
    assert editor.line() == line
    editor.text(ghost[0])
    wait_for("the rest", lambda: editor.ghost() == ghost[1:])


def test_undo_takes_back_what_was_accepted_and_nothing_else(editor: Editor) -> None:
    ghost, line = editor.wait_ghost(), editor.line()
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    editor.keys("Escape", "u")
    editor.wait_line(line)


def test_acceptance_is_reported(editor: Editor) -> None:
    editor.lua(
        "said = {} local client = vim.lsp.get_clients({ name = 'diffill' })[1] local run = client.exec_cmd "
        "client.exec_cmd = function(self, command, ...) said[#said + 1] = command.command run(self, command, ...) end"
    )
    editor.keys("Tab")
    assert wait_for("the report", lambda: editor.lua("return said")) == ["diffill.accepted"]


def test_a_storm_of_keys_loses_none(editor: Editor) -> None:
    line = editor.line()
    storm = "".join(f"x{number} = {number}; " for number in range(40))
    editor.text(storm)
    editor.wait_line(line + storm)
    editor.keys("Enter")
    editor.text_and_ghost("self.items.app")


def test_turned_off_and_on(editor: Editor) -> None:
    editor.command("Diffill disable")
    wait_for("the status", lambda: editor.lua("return require('diffill').status()") == "diffill: off")
    editor.keys("A", "Space", "BSpace")
    assert not editor.ghost()
    editor.command("Diffill enable")
    editor.keys("A", "Space", "BSpace")
    editor.wait_ghost()


def test_windows_line_ends_and_wide_characters(window: Editor, tmp_path: Path) -> None:
    file = tmp_path / "stock.py"
    file.write_bytes(STOCK.replace("class", "# 🎉 naïve café 漢字\nclass").replace("\n", "\r\n").encode())
    editor = window
    editor.open(file)
    editor.keys("G", "o")
    ghost, line = editor.text_and_ghost("note = '🎉é'; self.items.app")
    assert "\r" not in ghost
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    editor.command("w")
    wait_for("the file", lambda: file.read_bytes().endswith((line + ghost + "\r\n").encode()))
    assert b"\r\r" not in file.read_bytes() and file.read_bytes().count(b"\n") == file.read_bytes().count(b"\r\n")


def test_two_windows_on_one_file(editor: Editor) -> None:
    editor.keys("Escape")
    editor.command("split")
    editor.keys("A")
    editor.text("e")
    editor.keys("BSpace")
    ghost, line = editor.wait_ghost(), editor.line()
    editor.keys("Tab")
    editor.wait_line(line + ghost)
    editor.keys("Escape")
    editor.command("wincmd w")
    assert line + ghost in editor.lines()


def test_two_neovims_on_one_file(window: Editor, open_editor: OpenEditor, file: Path) -> None:
    one, other = window, open_editor(file)
    one.open(file)
    for count, editor in enumerate((one, other), 1):
        editor.command("checktime")
        wait_for("the file as it is", lambda editor=editor: editor.lines() == file.read_text("utf-8").splitlines())
        editor.keys("G", "o")
        ghost, line = editor.text_and_ghost("self.items.app")
        editor.keys("Tab")
        editor.wait_line(line + ghost)
        editor.command("w")
        wait_for("the file", lambda count=count: file.read_text("utf-8").count("self.items.app") == count)


def test_files_of_two_repositories_are_served_side_by_side(window: Editor, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / ".git").mkdir(parents=True)
        file = tmp_path / name / "stock.py"
        file.write_text(STOCK, "utf-8")
        window.open(file)
        window.keys("G", "o")
        ghost, line = window.text_and_ghost("self.items.app")
        window.keys("Tab")
        window.wait_line(line + ghost)
    roots = window.lua(
        "return vim.tbl_map(function(c) return c.root_dir end, vim.lsp.get_clients({ name = 'diffill' }))"
    )
    assert {str(tmp_path / "one"), str(tmp_path / "two")} <= set(roots)


def test_in_a_file_that_is_only_read_it_is_shown_and_not_written(window: Editor, file: Path) -> None:
    window.open(file)
    window.command("setlocal readonly")
    window.keys("G", "o")
    ghost, line = window.text_and_ghost("self.items.app")
    window.keys("Tab")
    window.wait_line(line + ghost)
    window.command("w")
    wait_for("Neovim's refusal", lambda: "'readonly' option is set" in window.messages())
    assert file.read_text("utf-8") == STOCK


def test_in_a_text_that_cannot_be_changed_it_says_so(window: Editor, file: Path) -> None:
    window.open(file)
    window.command("setlocal nomodifiable")
    for action in ("fix", "rewrite", "next-edit"):
        window.command(f"messages clear | Diffill {action}")
        wait_for("why not", lambda: "cannot be changed" in window.messages())


def test_own_ghost_text_where_a_person_wants_it(open_editor: OpenEditor, file: Path) -> None:
    editor = open_editor(file, before="vim.g.diffill_ghost_text = 'own'")
    editor.keys("G", "o")
    ghost, line = editor.text_and_ghost("self.items.app")
    editor.keys("Tab")
    editor.wait_line(line + ghost)


def test_it_does_not_look_like_text_in_a_plain_terminal(open_editor: OpenEditor, file: Path) -> None:
    editor = open_editor(file, environment={"COLORTERM": ""})
    editor.keys("G", "o")
    editor.text("self.items.app")
    ghost = editor.wait_ghost().split("\n")[0]
    wait_for("it in grey", lambda: f"\x1b[38;5;244m{ghost}" in editor.screen())
    editor.command("colorscheme habamax")
    editor.command("colorscheme default")
    editor.keys("A", "Space", "BSpace")
    wait_for("it in grey again", lambda: f"\x1b[38;5;244m{ghost}" in editor.screen())
