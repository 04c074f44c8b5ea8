"""`Fix this` and the next edit in the real VS Code: checked, shown where they are due, undone at once."""

from __future__ import annotations

import pytest

from tests.e2e.vscode.workbench import Workbench

UNDEFINED = "def total(items):\n    return sum(itms)\n"
FIXED = "def total(items):\n    return sum(items)\n"
RENAMED = """\
def area(width, height):
    edge = width + height
    print(edge)
    return edge * edge
"""


def open_undefined(window: Workbench, name: str) -> None:
    window.open_new(name, UNDEFINED)
    window.press("Control+Home", "ArrowDown", "End")
    window.page.locator(".squiggly-warning").first.wait_for()


@pytest.mark.older
def test_the_light_bulb_fixes_what_ruff_found(window: Workbench) -> None:
    open_undefined(window, "bulb.py")
    window.press("ArrowLeft", "ArrowLeft", "Control+.")
    window.page.locator(".action-widget .monaco-list-row.focused").wait_for()
    window.photograph("light bulb")
    window.choose_action("Fix this: Undefined name `itms`")
    window.wait_until(lambda: window.text() == FIXED.strip())
    assert window.save("bulb.py") == FIXED
    window.press("Control+Z")
    assert window.save("bulb.py") == UNDEFINED


def test_a_key_fixes_what_ruff_found(window: Workbench) -> None:
    open_undefined(window, "key.py")
    window.press("Control+Alt+.")
    window.wait_until(lambda: window.text() == FIXED.strip())
    assert window.save("key.py") == FIXED


@pytest.mark.older
def test_the_same_change_is_gone_through_place_by_place(window: Workbench) -> None:
    window.open_new("next.py", RENAMED)
    window.press("Control+Home", "ArrowDown", "Home", "Control+Shift+ArrowRight")
    window.type("side")
    window.wait_until(lambda: window.drawn().count("side") == 3 and "Alt+Enter" in window.drawn())
    window.photograph("next edit")
    for _ in range(3):
        window.press("Alt+Enter", "Alt+Enter")
    window.wait_until(lambda: window.drawn() == "")
    assert window.save("next.py") == RENAMED.replace("edge", "side")
