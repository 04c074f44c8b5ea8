"""What goes wrong behind the editor: it stays usable, says so once, and nothing that was typed is lost."""

from __future__ import annotations

import os
import signal

import psutil

from tests.command_line import run_json
from tests.e2e.vscode.test_typing import STOCK, TYPED, at_the_hole
from tests.e2e.vscode.workbench import Workbench


def test_a_killed_engine_is_started_again(window: Workbench, engine: dict[str, str]) -> None:
    at_the_hole(window, "engine.py")
    window.wait_for_ghost_text()
    pid = run_json("engine", "status", **engine)["pid"]
    os.kill(pid, signal.SIGKILL)
    window.type(".")
    window.wait_until_ready()
    window.press("Alt+Backslash")
    assert window.wait_for_ghost_text().strip()
    assert window.save("engine.py") == TYPED + ".\n"
    assert window.notifications() == []


def test_a_killed_server_is_started_again(window: Workbench) -> None:
    at_the_hole(window, "server.py")
    window.wait_for_ghost_text()
    kill_server(window)
    window.type(".")
    window.wait_until(lambda: bool(language_servers(window)))
    window.wait_until_ready()
    window.press("Alt+Backslash")
    assert window.wait_for_ghost_text().strip()
    assert window.save("server.py") == TYPED + ".\n"
    assert window.notifications() == []


def test_a_server_that_cannot_start_is_told_once(window: Workbench) -> None:
    window.set_in_workspace("diffill.command", ["/bin/false"])
    window.wait_until(lambda: any("Diffill could not start." in text for text in window.notifications()))
    assert len(window.notifications()) == 1
    window.set_in_workspace("diffill.command", None)
    window.wait_until_ready()


def test_a_wrong_interpreter_is_explained_and_mended(window: Workbench) -> None:
    window.open_new("wrong.py", STOCK)
    window.set_in_workspace("diffill.interpreter", "/nowhere/python")
    window.wait_until(lambda: any("/nowhere/python is not there" in text for text in window.notifications()))
    window.press("Control+End")
    window.type("still = 1")
    assert window.save("wrong.py") == STOCK + "still = 1"
    window.set_in_workspace("diffill.interpreter", None)
    window.wait_until_ready()


def test_a_server_that_keeps_stopping_is_left_down_with_one_message(window: Workbench) -> None:
    window.command("Notifications: Clear All Notifications")
    while not has_given_up(window):
        window.wait_until_ready()
        kill_server(window)
        window.wait_until(lambda: bool(language_servers(window)) or has_given_up(window))
    assert len(window.notifications()) == 1
    assert language_servers(window) == []


def test_no_error_of_ours_was_reported(window: Workbench) -> None:
    """Last: of everything that happened in the window."""
    assert [line for line in window.errors if "diffill" in line.casefold()] == []


def language_servers(window: Workbench) -> list[psutil.Process]:
    children = psutil.Process(window.pid).children(recursive=True)
    return [child for child in children if "diffill.lsp_server" in child.cmdline()]


def kill_server(window: Workbench) -> None:
    for process in language_servers(window):
        process.kill()
        process.wait()


def has_given_up(window: Workbench) -> bool:
    return any("again and again" in text for text in window.notifications())
