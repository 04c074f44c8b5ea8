"""Ghost text in the real VS Code, typed by hand: it appears, is taken whole or in part, and lands in the file."""

from __future__ import annotations

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
TYPED = STOCK.rstrip() + "\n" + " " * 8 + "self.items"
TEXTS = {
    "lf": STOCK,
    "crlf": STOCK.replace("\n", "\r\n"),
    "emoji": STOCK.replace("class", "# 🧺 the basket 👍🏽\nclass", 1),
}


def at_the_hole(window: Workbench, name: str, text: str = STOCK, typed: str = "self.items") -> None:
    """Open a new file, go to the empty line of `remove` and type there."""
    window.open_new(name, text)
    window.press("Control+End", "ArrowUp", "End")
    window.type(typed)


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("form", ["lf", "crlf", pytest.param("emoji", marks=pytest.mark.older)])
def test_tab_takes_the_ghost_text_and_the_file_is_right(window: Workbench, form: str) -> None:
    name, text = f"{form}.py", TEXTS[form]
    at_the_hole(window, name, text)
    shown = window.wait_for_ghost_text()
    window.photograph(f"ghost text {form}")
    window.press("Tab")
    window.wait_for_no_ghost_text()
    line_end = "\r\n" if form == "crlf" else "\n"
    before = text.rstrip() + line_end + " " * 8 + "self.items"
    saved = window.save(name)
    assert saved.startswith(before)
    added = saved.removeprefix(before).rstrip("\r\n")
    assert added
    assert squeezed(added) == squeezed(shown)


@pytest.mark.older
@pytest.mark.parametrize(("key", "part"), [("Control+ArrowRight", "word"), ("Control+Alt+ArrowRight", "line")])
def test_a_part_is_taken(window: Workbench, key: str, part: str) -> None:
    at_the_hole(window, f"{part}.py")
    shown = window.wait_for_ghost_text()
    window.press(key)
    taken = window.save(f"{part}.py").removeprefix(TYPED).strip()
    assert taken
    assert squeezed(shown).startswith(squeezed(taken))


def test_typing_what_is_shown_keeps_the_rest(window: Workbench) -> None:
    at_the_hole(window, "through.py")
    shown = squeezed(window.wait_for_ghost_text())
    window.type(shown[0])
    assert squeezed(window.wait_for_ghost_text()) == shown[1:]


def test_escape_hides_it(window: Workbench) -> None:
    at_the_hole(window, "escape.py")
    window.wait_for_ghost_text()
    window.press("Escape")
    window.wait_for_no_ghost_text()
    assert window.save("escape.py") == TYPED + "\n"


def test_tab_indents_where_nothing_is_shown(window: Workbench) -> None:
    window.open_new("indent.py", "def f():\n")
    window.press("Control+Home", "Tab")
    assert window.save("indent.py") == "    def f():\n"


def test_those_asked_for_are_gone_through(window: Workbench) -> None:
    at_the_hole(window, "cycle.py", typed="self.")
    window.press("Escape", "Alt+Backslash")
    first = window.wait_for_ghost_text()
    # A key that comes before all of them are there leaves the first one in its place.
    window.press_until("Alt+BracketRight", lambda: window.ghost_text() not in ("", first))
    window.press_until("Alt+BracketLeft", lambda: window.ghost_text() == first)


def test_a_storm_of_keys_ends_in_one_answer(window: Workbench) -> None:
    at_the_hole(window, "storm.py", typed="")
    for _ in range(3):
        window.type("self.items.remove(item", delay_ms=0)
        window.press(*["Backspace"] * len("self.items.remove(item"))
    window.type("self.items")
    assert window.wait_for_ghost_text().strip()
    assert window.save("storm.py").endswith("self.items\n")


def test_the_second_folder_is_served_too(window: Workbench) -> None:
    window.open_new("second.py", STOCK, folder="two")
    window.press("Control+End", "ArrowUp", "End")
    window.type("self.items")
    assert window.wait_for_ghost_text().strip()


def test_two_windows_share_one_file(window: Workbench) -> None:
    at_the_hole(window, "shared.py", typed="")
    with window.another() as other:
        other.wait_until_ready()
        other.open("shared.py")
        other.press("Control+End", "ArrowUp", "End")
        other.type("self.items")
        other.wait_for_ghost_text()
        other.press("Tab")
        other.wait_for_no_ghost_text()
        saved = other.save("shared.py")
    window.wait_until(lambda: window.text() == saved.rstrip())
    window.press("End", "Enter")
    window.type("self.items")
    assert window.wait_for_ghost_text().strip()
    assert window.save("shared.py").startswith(saved.rstrip())
