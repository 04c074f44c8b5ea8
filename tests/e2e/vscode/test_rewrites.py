"""Rewrites in the real VS Code, by a model that is told what to answer: shown first, one step of undo, or left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import ScriptedEngine
from tests.e2e.vscode.workbench import Workbench, server_command

BASKET = """\
class Basket:
    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)

    def count(self):
        return len(self.items)
"""
REWRITTEN = BASKET.replace("count", "size")
PREVIEW = ".monaco-diff-editor .modified-in-monaco-diff-editor"
METHOD = "    def count(self):\n        return len(self.items)\n"


@pytest.fixture(scope="module")
def telling(window: Workbench, scripted: ScriptedEngine) -> Iterator[ScriptedEngine]:
    """The window with the model that is told."""
    window.start_server(server_command(scripted.environment))
    yield scripted
    window.restore_settings()


def ask_for_rewrite(window: Workbench, name: str) -> None:
    """Whoever selects lines has these rewritten and no others."""
    window.open_new(name, BASKET)
    window.press("Control+End", "Shift+ArrowUp", "Shift+ArrowUp", "Control+Alt+r")
    window.answer("rename count to size")


@pytest.mark.older
def test_it_is_shown_first_and_is_one_step_of_undo(window: Workbench, telling: ScriptedEngine) -> None:
    telling.answers.set({"return len(self.items)\n": METHOD.replace("count", "size")})
    ask_for_rewrite(window, "rewrite.py")
    window.wait_until(lambda: window.text(PREVIEW) == REWRITTEN.strip())
    window.photograph("rewrite preview")
    window.press("Control+Enter")
    window.page.locator(PREVIEW).wait_for(state="detached")
    window.wait_until(lambda: window.text() == REWRITTEN.strip())
    assert window.save("rewrite.py") == REWRITTEN
    window.press("Control+Z")
    assert window.save("rewrite.py") == BASKET


def test_a_discarded_one_leaves_the_text_alone(window: Workbench, telling: ScriptedEngine) -> None:
    telling.answers.set({"return len(self.items)\n": METHOD.replace("count", "size")})
    ask_for_rewrite(window, "discard.py")
    window.wait_until(lambda: window.text(PREVIEW) == REWRITTEN.strip())
    window.press("Escape")
    window.page.locator(PREVIEW).wait_for(state="detached")
    assert window.text() == BASKET.strip()


def test_where_there_is_none_it_is_said(window: Workbench, telling: ScriptedEngine) -> None:
    telling.answers.set({"return len(self.items)\n": METHOD})
    ask_for_rewrite(window, "none.py")
    window.wait_for_notification("No safe fix")
    assert window.text() == BASKET.strip()
    window.command("Notifications: Clear All Notifications")
