"""What goes wrong behind the editor: it stays usable, says so once, and nothing that was typed is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import run_json
from tests.e2e.conftest import OTHER_VERSION
from tests.e2e.vscode.test_typing import STOCK, TYPED, at_the_hole
from tests.e2e.vscode.workbench import Workbench, server_command

pytestmark = pytest.mark.faults
FAILED = "[id='diffill.diffill.diffill.status'][aria-label^='Diffill, failed']"


def test_a_killed_engine_is_started_again(window: Workbench, engine: dict[str, str]) -> None:
    at_the_hole(window, "engine.py")
    window.wait_for_ghost_text()
    pid = run_json("engine", "status", **engine)["pid"]
    with window.reloading():
        os.kill(pid, signal.SIGKILL)
        window.press("Escape", "Enter")  # what follows is not known already
        window.type("self.items.app")
    assert window.wait_for_ghost_text().strip()
    assert window.save("engine.py") == TYPED + "\n        self.items.app\n"
    assert window.notifications() == []


@pytest.mark.older
def test_a_killed_server_is_started_again(window: Workbench) -> None:
    at_the_hole(window, "server.py")
    window.wait_for_ghost_text()
    with window.reloading():
        kill_server(window)
        window.type(".")
    window.press("Alt+Backslash")
    assert window.wait_for_ghost_text().strip()
    assert window.save("server.py") == TYPED + ".\n"
    assert window.notifications() == []


def test_restarted_twice_at_once_there_is_one_server(window: Workbench) -> None:
    with window.reloading():
        window.command("Diffill: Restart Server")
        window.command("Diffill: Restart Server")
    assert len(window.language_servers()) == 1


@pytest.fixture
def usual(window: Workbench) -> Iterator[None]:
    """What a test sets is taken back, and the usual server is there again."""
    window.command("Notifications: Clear All Notifications")
    yield
    window.restore_settings()
    window.command("Notifications: Clear All Notifications")


def test_a_server_that_cannot_start_is_told_once(window: Workbench, usual: None) -> None:
    window.set_in_workspace("diffill.command", ["/bin/false"])
    window.wait_for_notification("Diffill could not start.")
    assert len(window.notifications()) == 1


@pytest.mark.parametrize(
    ("interpreter", "reason"),
    [
        ("/nowhere/python", "/nowhere/python is not there"),
        ("/bin/false", "/bin/false is not a Python 3.10 or newer"),
        ("/usr/bin/python3", "Diffill is not installed for /usr/bin/python3"),
    ],
)
def test_a_wrong_python_is_explained(window: Workbench, usual: None, interpreter: str, reason: str) -> None:
    if not Path(interpreter).exists() and "nowhere" not in interpreter:
        pytest.skip(f"no {interpreter} here")
    window.set_in_workspace("diffill.interpreter", interpreter)
    window.wait_for_notification(reason)
    name = f"python{len(reason)}.py"
    window.open_new(name, STOCK)
    window.press("Control+End")
    window.type("still = 1")
    assert window.save(name) == STOCK + "still = 1"


def test_an_engine_of_another_version_is_named(window: Workbench, usual: None, foreign_engine: dict[str, str]) -> None:
    window.open_new("version.py", STOCK)
    window.set_in_workspace("diffill.command", server_command(foreign_engine))
    state = window.page.locator(FAILED)
    state.wait_for()
    window.photograph("engine of another version")
    assert OTHER_VERSION in (state.get_attribute("aria-label") or "")
    window.press("Control+End")
    window.type("still = 1")
    assert window.save("version.py") == STOCK + "still = 1"


def test_settings_of_the_wrong_type_are_named_once_and_left_out(window: Workbench, usual: None) -> None:
    window.set_in_workspace("diffill.mode", 7)
    window.wait_for_notification("diffill.mode: one of ")
    with window.reloading():
        window.set_in_workspace("diffill.command", "not a list")  # the extension's own: as if it were not there
    at_the_hole(window, "settings.py")
    assert window.wait_for_ghost_text().strip()
    assert len(window.notifications()) <= 1


def test_a_read_only_file_stays_as_it_is(window: Workbench, usual: None) -> None:
    text = "def total(items):\n    return sum(itms)\n"
    window.set_in_workspace("files.readonlyInclude", {"**/locked.py": True})
    window.open_new("locked.py", text)
    window.page.locator(".squiggly-warning").first.wait_for()
    window.press("Control+Home", "ArrowDown", "End")
    window.type("x")
    window.press("Control+Alt+.", "F1")
    window.type("Diffill: ")
    rows = window.page.locator(".quick-input-list .monaco-list-row")
    rows.filter(has_text="Restart Server").wait_for()
    assert not any("Fix This" in row or "Rewrite" in row for row in rows.all_text_contents())
    window.press("Escape")
    assert window.text() == text.strip() and window.ghost_text() == ""


def test_a_server_that_keeps_stopping_is_left_down_with_one_message(window: Workbench) -> None:
    window.command("Notifications: Clear All Notifications")
    while not has_given_up(window):
        window.wait_until_ready()
        kill_server(window)
        window.wait_until(lambda: bool(window.language_servers()) or has_given_up(window))
    window.photograph("left down")
    assert len(window.notifications()) == 1
    assert window.language_servers() == []


def kill_server(window: Workbench) -> None:
    for process in window.language_servers():
        process.kill()
        process.wait()


def has_given_up(window: Workbench) -> bool:
    return any("again and again" in text for text in window.notifications())
