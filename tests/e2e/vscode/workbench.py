"""A real VS Code in a real browser, driven as a person would: keys, and what is on the screen."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, TimeoutError
from psutil import NoSuchProcess, Process

GUARD_MS = 60_000
"""How long anything may take before the test gives up: a guard against hanging, not a measurement."""
CLOSING_MS = 3_000
AGAIN_SECONDS = 3.0
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

TURN_ON_SMOKE_TESTS = """document.addEventListener("readystatechange", () => {
    const element = document.getElementById("vscode-workbench-web-configuration");
    const configuration = JSON.parse(element.dataset.settings);
    configuration.developmentOptions.enableSmokeTestDriver = true;
    element.dataset.settings = JSON.stringify(configuration);
}, {once: true})"""
"""In one page, before VS Code starts: without it no tests run inside, and with it no window shows notifications."""
EXTENSION_ID = "diffill.diffill"
ARTIFACTS = Path(__file__).parents[3] / "build" / "screenshots"


class Workbench:
    """The window of one VS Code."""

    def __init__(self, page: Page, *, workspace: Path, server: Process, address: str, logs: Path) -> None:
        self.page = page
        self.workspace = workspace
        """The `.code-workspace` file; its folders lie beside it."""
        self._settings = json.loads(workspace.read_text())["settings"]
        self.server = server
        """VS Code's own, whose children are the extensions' processes."""
        self.address = address
        self._logs = logs
        self._console: list[str] = []
        page.set_default_timeout(GUARD_MS)
        page.on("console", lambda message: self._console.append(message.text) if message.type == "error" else None)

    def open_new(self, name: str, text: str, *, folder: str = "one") -> None:
        """Write a file of the workspace, open it and put the cursor into it."""
        (self.workspace.parent / folder / name).write_bytes(text.encode())
        self.open(name)

    def open(self, name: str) -> None:
        """Open a file of the workspace and put the cursor into it."""
        self._pick("Control+P", name, name)
        self.page.locator(f".tab.active[data-resource-name='{name}']").wait_for()
        self.page.locator(".monaco-editor .view-lines").last.click()

    def command(self, title: str) -> None:
        """Run a command from the palette."""
        self._pick("F1", f">{title}", title)

    def _pick(self, key: str, asked: str, found: str) -> None:
        """Open a list with a key and choose from it."""
        last = self.page.locator(".quick-input-widget")
        with contextlib.suppress(TimeoutError):  # that of the last command closes by itself, unless it was left open
            last.wait_for(state="hidden", timeout=CLOSING_MS)
        if last.is_visible():
            self.press("Escape")
            last.wait_for(state="hidden")
        for patience_ms in (3_000, 6_000, GUARD_MS):  # a list may be older than the file or command that is looked for
            self.press(key)
            try:
                return self.choose(asked, found, patience_ms=patience_ms)
            except TimeoutError:
                if patience_ms == GUARD_MS:
                    raise
                self.press("Escape")

    def choose(self, asked: str, found: str, *, patience_ms: float = GUARD_MS) -> None:
        """Ask the open list for an entry, and take it once it is the one that Enter takes."""
        self.page.locator(".quick-input-widget input").first.fill(asked)
        row = self.page.locator(".quick-input-list .monaco-list-row.focused")
        row.filter(has_text=re.compile(rf"^\s*{re.escape(found)}")).wait_for(timeout=patience_ms)
        self.press("Enter")

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

    def press_until(self, key: str, holds: Callable[[], bool]) -> None:
        """Press a key, and again when it was too early, as a person would."""
        pressed = 0.0

        def has_come_to_that() -> bool:
            nonlocal pressed
            if time.monotonic() - pressed > AGAIN_SECONDS:
                pressed = time.monotonic()
                self.press(key)
            return holds()

        self.wait_until(has_come_to_that, about=key)

    def photograph(self, name: str) -> None:
        """Keep what is on the screen."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        stem = "-".join(re.findall("[A-Za-z0-9.]+", name))
        self.page.screenshot(path=ARTIFACTS / f"vscode-{stem}.png")

    def log(self) -> list[str]:
        """What the extension and its server wrote into their log, window by window."""
        paths = sorted(self._logs.rglob("Diffill.log"), key=lambda path: path.stat().st_mtime)
        return [line for path in paths for line in path.read_text("utf-8").splitlines()]

    def errors(self) -> list[str]:
        """What VS Code says of the extension in the console, and what it and its server wrote into their log."""
        logged = self.log()
        return [line for line in self._console if EXTENSION_ID in line] + [line for line in logged if "[error]" in line]

    def choose_action(self, title: str) -> None:
        """Take the first entry of the open menu of code actions, which has this title."""
        self.page.locator(".action-widget .monaco-list-row.focused", has_text=title).wait_for()
        self.press("Enter")

    def answer(self, text: str) -> None:
        """Fill the open input box."""
        self.page.locator(".quick-input-widget input").first.fill(text)
        self.press("Enter")

    def set_in_workspace(self, name: str, value: object) -> None:
        """Change a setting of the open workspace; None takes it out."""
        content = json.loads(self.workspace.read_text())
        content["settings"].pop(name, None)
        if value is not None:
            content["settings"][name] = value
        self._write_workspace(content)

    def language_servers(self) -> list[Process]:
        """Ours, of all windows."""
        children = self.server.children(recursive=True)
        return [child for child in children if "diffill.lsp_server" in _command_line(child)]

    def start_server(self, command: Sequence[str]) -> None:
        """Have the extension start this in place of its usual server, until its model is loaded."""
        with self.reloading():
            self.set_in_workspace("diffill.command", list(command))

    def restore_settings(self) -> None:
        """Take back what was set in the workspace, until the usual server has its model loaded."""
        content = json.loads(self.workspace.read_text())
        changed = {name: value for name, value in content["settings"].items() if name not in self._settings}
        restarts = bool({"diffill.command", "diffill.interpreter"} & set(changed))
        with self.reloading() if restarts else contextlib.nullcontext():
            self._write_workspace(content | {"settings": self._settings})

    def _write_workspace(self, content: dict[str, object]) -> None:
        """At once: VS Code must not read half of it."""
        beside = self.workspace.with_suffix(".new")
        beside.write_text(json.dumps(content))
        beside.replace(self.workspace)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """After what is done within a model is loaded anew: wait until it is.

        The log tells: on the screen the "ready" of before may stay a moment.
        """

        def loaded() -> int:
            return sum("the engine is ready" in line for line in self.log())

        before = loaded()
        yield
        self.wait_until(lambda: loaded() > before)
        self.wait_until_ready()

    @contextlib.contextmanager
    def another(self, *payload: tuple[str, str]) -> Iterator[Workbench]:
        """A second window on the same workspace."""
        browser = self.page.context.browser
        assert browser is not None
        page = browser.new_page(viewport=self.page.viewport_size)
        for name in ("codeAutomationLog", "codeAutomationExit"):  # VS Code calls them when it runs tests
            page.expose_function(name, lambda *arguments: None)
        if payload:
            page.add_init_script(TURN_ON_SMOKE_TESTS)
        query = f"&payload={quote(json.dumps(payload))}" if payload else ""
        window = Workbench(page, workspace=self.workspace, server=self.server, address=self.address, logs=self._logs)
        page.goto(f"{self.address}/?workspace={self.workspace}{query}")
        page.locator(".monaco-workbench .statusbar").wait_for()
        yield window
        page.close()
        self.page.bring_to_front()

    def run_inside(self, tests: Path) -> dict[str, str | None]:
        """Run the extension of tests in this folder within an extension host: its results, None where all is well."""
        results = self.workspace.with_name("inside.json")
        folder = f"vscode-remote://{self.address.removeprefix('http://')}{tests}"
        payload = (("extensionDevelopmentPath", folder), ("extensionTestsPath", f"{folder}/index.js"))
        with self.another(*payload):
            self.wait_until(results.exists, guards=5)  # several tests
        return dict(json.loads(results.read_text()))

    def wait_for_notification(self, part: str) -> None:
        seen: list[str] = []

        def is_shown() -> bool:
            seen.extend(text for text in self.notifications() if text not in seen)
            return any(part in text for text in seen)

        self.wait_until(is_shown, about=seen)

    def wait_until(self, holds: Callable[[], bool], *, about: object = "", guards: int = 1) -> None:
        """
        Args:
            about: what to tell if it does not come to that.
            guards: how many steps of a usual length it may take.
        """
        deadline = time.monotonic() + guards * GUARD_MS / 1000
        while not holds():
            assert time.monotonic() < deadline, f"it did not come to that: {about}"
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


def server_command(environment: dict[str, str]) -> list[str]:
    """What `diffill.command` is set to for the server in another environment."""
    pairs = [f"{name}={value}" for name, value in environment.items()]
    return ["/usr/bin/env", *pairs, sys.executable, "-m", "diffill.lsp_server"]


def _command_line(process: Process) -> list[str]:
    try:
        return list(process.cmdline())
    except NoSuchProcess:
        return []
