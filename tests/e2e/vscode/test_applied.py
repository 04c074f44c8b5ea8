"""A repair that another extension speaks against once it is applied: VS Code asks, and can take it back."""

from __future__ import annotations

from tests.e2e.conftest import ScriptedEngine
from tests.e2e.vscode.test_rewrites import PREVIEW, telling
from tests.e2e.vscode.workbench import Workbench

__all__ = ["telling"]
FAULTY = "function f(a) {\n  return a.lenght;\n}\n"
REPAIRED = FAULTY.replace("lenght", "length")


def test_a_doubtful_repair_is_taken_back(window: Workbench, telling: ScriptedEngine) -> None:
    telling.answers.set({"return a.": "length"})
    window.open_new("length.js", FAULTY)
    window.press("Control+Home", "ArrowDown", "End")
    window.page.locator(".squiggly-error").first.wait_for()
    window.press("Control+Alt+.")
    window.wait_until(lambda: window.text(PREVIEW) == REPAIRED.strip())
    window.press("Control+Enter")
    window.page.locator(PREVIEW).wait_for(state="detached")
    window.wait_for_notification("checker now reports: There is no length")
    assert window.text() == REPAIRED.strip()
    window.page.get_by_role("button", name="Undo the repair").click()
    window.wait_until(lambda: window.text() == FAULTY.strip())
