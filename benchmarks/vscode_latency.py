"""Latency as felt in the real VS Code: from the key's event to the frame that shows the ghost text.

    python -m benchmarks.vscode_latency --out FILE [--seconds S]

Types Python by hand, one key after the other was answered or not, and asks the page itself for the times. Adds to FILE,
so that a long measurement can be done in pieces. The server's own share comes from the log that `diffill stats` reads.
Needs the editors of `make editors` and the extension of `make extension`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffill.lsp_server.usage_log import Answered, read_events
from tests.command_line import run_json
from tests.e2e.vscode.alone import engine_directory, ready_window
from tests.e2e.vscode.conftest import VERSIONS
from tests.e2e.vscode.workbench import Workbench

ANSWER_MS = 900
"""Without ghost text for so long, a key counts as unanswered."""
REST_MS = 120
SETTINGS = {
    "diffill.confidence": 0,  # what is held back as too unlikely has no time on the screen
    "diffill.nextEdit": False,
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
}
WATCH = """() => {
    const ghost = () => [...document.querySelectorAll(".ghost-text-decoration, .ghost-text")]
        .map(part => part.textContent).join("");
    const state = window.felt = {key: null, before: "", shown: null, text: ""};
    document.addEventListener("keydown", event => {
        if (event.key.length === 1) {
            Object.assign(state, {key: performance.now(), before: ghost(), shown: null, text: ""});
        }
    }, true);
    const look = () => {
        const text = ghost();
        if (state.key !== null && state.shown === null && text && text !== state.before) {
            state.shown = performance.now() - state.key;
            state.text = text;
        }
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""
CLASSES = {
    "basket": ("Basket", "items", "item"),
    "fleet": ("Fleet", "ships", "ship"),
    "library": ("Library", "books", "book"),
    "team": ("Team", "members", "member"),
}
TEXT = """\
class {name}:
    def __init__(self, {many}):
        self.{many} = {many}

    def add(self, {one}):
        self.{many}.append({one})

    def remove(self, {one}):
        self.{many}.remove({one})

    def count(self):
        return len(self.{many})

    def is_empty(self):
        return len(self.{many}) == 0

    def find(self, name):
        for {one} in self.{many}:
            if {one}.name == name:
                return {one}
        return None
"""


def measure(window: Workbench, seconds: float) -> Iterator[tuple[float | None, bool]]:
    """For each key: milliseconds until other ghost text was on screen, None for none; was it typed through?"""
    end = time.monotonic() + seconds
    page = window.page
    page.evaluate(WATCH)
    for file, (name, many, one) in CLASSES.items():
        head, *methods = TEXT.format(name=name, many=many, one=one).split("\n\n")
        window.open_new(f"{file}{int(end)}.py", head + "\n")
        for method in methods:
            window.press("Control+End", "Enter", "Home")
            for line in method.rstrip().split("\n"):
                indent = len(line) - len(line.lstrip())
                page.keyboard.insert_text(line[:indent])
                for letter in line.lstrip():
                    if time.monotonic() > end:
                        return
                    window.press(letter)
                    deadline = time.monotonic() + ANSWER_MS / 1000
                    while (felt := page.evaluate("() => window.felt"))["shown"] is None and time.monotonic() < deadline:
                        page.wait_for_timeout(15)
                    shown = None if felt["shown"] is None else round(felt["shown"], 1)
                    yield shown, felt["text"] == felt["before"][1:]
                    page.wait_for_timeout(REST_MS)
                window.press("Escape", "Enter", "Home", "Shift+End", "Delete")


def activation_ms(window: Workbench) -> int | None:
    """What VS Code's own page of running extensions says of ours."""
    window.command("Developer: Show Running Extensions")
    row = window.page.locator(".runtime-extensions-editor .monaco-list-row", has_text="Diffill").first
    row.wait_for()
    found = re.search(r"Activation: (\d+)ms", row.inner_text())
    return int(found.group(1)) if found else None


def summary(kept: dict[str, Any]) -> dict[str, Any]:
    keys = list(zip(kept["ms"], kept["typed_through"], strict=True))
    shown = [ms for ms, _ in keys if ms is not None]
    fresh = [ms for ms, typed_through in keys if ms is not None and not typed_through]
    ours = [ms for ms, _, items in kept["answers"] if items]
    decoded = [ms for ms, source, items in kept["answers"] if items and source != "cache"]
    return {
        "keys": len(keys),
        "shown": percentiles(shown),
        "shown_anew": percentiles(fresh),
        "server": percentiles(ours),
        "server_decoded": percentiles(decoded),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"n": len(values)}
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {"n": len(values), "p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=150)
    arguments = parser.parse_args()
    kept: dict[str, Any] = {"activation_ms": [], "ms": [], "typed_through": [], "answers": []}
    if arguments.out.exists():
        kept = json.loads(arguments.out.read_text())
    with engine_directory() as (directory, environment):
        with ready_window(directory, name="felt", settings=SETTINGS, environment=environment) as window:
            kept["activation_ms"].append(activation_ms(window))
            for ms, typed_through in measure(window, arguments.seconds):
                kept["ms"].append(ms)
                kept["typed_through"].append(int(typed_through))
        kept["model"] = run_json("engine", "status", **environment).get("model")
        kept["vscode"] = VERSIONS[0]
        for event in read_events(directory / "state" / "usage.jsonl"):
            if isinstance(event, Answered):
                kept["answers"].append([round(event.ms, 1), event.source, event.items])
    kept["summary"] = summary(kept)
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in kept.items()]
    arguments.out.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(json.dumps(kept["summary"], indent=2))


if __name__ == "__main__":
    main()
