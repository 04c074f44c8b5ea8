"""Ghost text in the real VS Code, typed by hand: it appears, is taken whole or in part, and lands in the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.vscode.workbench import Workbench

STOCK = """\
class Stock:
    def __init__(self, items):
        self.items = items

    def count(self):
        return len(self.items)

    def add(self, item):
        self.items.append(item)

    def remove(self, item):
        
"""
FILES = {name: STOCK for name in ("whole.py", "word.py", "through.py", "escape.py", "storm.py", "cycle.py")}
FILES |= {"crlf.py": STOCK.replace("\n", "\r\n"), "emoji.py": STOCK.replace("class", "# 🧺 the basket 👍🏽\nclass", 1)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("workspace")
    for name, text in FILES.items():
        (directory / name).write_bytes(text.encode())
    return directory


@pytest.fixture(scope="module")
def window(open_window: Callable[..., Workbench], workspace: Path) -> Workbench:
    window = open_window(workspace)
    window.wait_until_ready()
    return window


def at_the_hole(window: Workbench, name: str, typed: str = "self.items") -> None:
    """Open `name`, go to the empty line of `remove` and type there."""
    window.open(name)
    window.press("Control+End", "ArrowUp", "End")
    window.type(typed)


@pytest.mark.parametrize("name", ["whole.py", "crlf.py", "emoji.py"])
def test_tab_takes_the_ghost_text_and_the_file_is_right(window: Workbench, workspace: Path, name: str) -> None:
    at_the_hole(window, name)
    shown = window.wait_for_ghost_text()
    window.press("Tab")
    window.wait_for_no_ghost_text()
    window.save()
    before, after = (workspace / name).read_bytes().decode(), FILES[name]
    line_end = "\r\n" if name == "crlf.py" else "\n"
    assert before.startswith(after.rstrip() + line_end + " " * 8 + "self.items")
    added = before.removeprefix(after.rstrip() + line_end + " " * 8 + "self.items").rstrip("\r\n")
    assert added
    assert "".join(added.split()) == "".join(shown.split())


def test_one_word_is_taken(window: Workbench, workspace: Path) -> None:
    at_the_hole(window, "word.py")
    shown = window.wait_for_ghost_text()
    window.press("Control+ArrowRight")
    window.save()
    taken = (workspace / "word.py").read_text().split("self.items")[-1].strip()
    assert taken
    assert "".join(shown.split()).startswith(taken)


def test_typing_what_is_shown_keeps_the_rest(window: Workbench) -> None:
    at_the_hole(window, "through.py")
    shown = "".join(window.wait_for_ghost_text().split())
    window.type(shown[0])
    assert "".join(window.wait_for_ghost_text().split()) == shown[1:]


def test_escape_hides_it(window: Workbench, workspace: Path) -> None:
    at_the_hole(window, "escape.py")
    window.wait_for_ghost_text()
    window.press("Escape")
    window.wait_for_no_ghost_text()
    window.save()
    assert (workspace / "escape.py").read_text() == FILES["escape.py"].rstrip() + "\n" + " " * 8 + "self.items\n"


def test_a_storm_of_keys_ends_in_one_answer(window: Workbench, workspace: Path) -> None:
    at_the_hole(window, "storm.py", typed="")
    for _ in range(3):
        window.type("self.items.remove(item", delay_ms=0)
        window.press(*["Backspace"] * len("self.items.remove(item"))
    window.type("self.items")
    assert window.wait_for_ghost_text().strip()
    window.save()
    assert (workspace / "storm.py").read_text().endswith("self.items\n")
