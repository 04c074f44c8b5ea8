"""What the language server adds to a keystroke in files of any length, and whether an hour of typing makes it grow.

    python -m benchmarks.keystrokes [--lines 1000 10000 50000] [--keys 400] [--hour] [--cpu] [--json]

Timed is everything but the model, from `didChange` and `inlineCompletion`, sent together, to the answer. `share`: the
server called within this process, bytes in and bytes out, with an engine that answers at once: what it does itself.
`process`: the real server process with an engine process that answers at once: also four pipes, their messages at both
ends, and the system's turns among three processes. `--hour` types 18,000 keys (five a second for an hour, without the
pauses) at that and reports the resident memory of the server along the way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import track

from benchmarks.report import show
from benchmarks.server_inside import ServerInside
from tests.lsp_client import LspClient, inline_params, insert, lsp_client

METHOD = "textDocument/inlineCompletion"
TYPED = (
    '        total = self.prices.get(name, 0) + 1\n        if total > limit:\n            raise ValueError("over")\n'
)
KEYS_PER_HOUR = 18_000
SOURCE = Path(__file__).parent.parent / "training" / "trainer.py"


def text_of(lines: int) -> str:
    """A file of so many lines, of this project's own code."""
    source = SOURCE.read_text("utf-8").split("\n")
    return "\n".join((source * (lines // len(source) + 1))[:lines])


class Typist:
    """Types into the middle of a file and asks after every key."""

    def __init__(
        self, client: LspClient | ServerInside, text: str, uri: str, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._client = client
        self._clock = clock
        self._uri = uri
        self._version = 1
        self._line, self._column = text.count("\n") // 2, 0
        client.open(text, uri=uri)
        self.type("\n")
        self._line -= 1  # on an empty line of its own

    def type(self, key: str) -> float:
        """Milliseconds from the key to the answer."""
        self._version += 1
        change = {
            "textDocument": {"uri": self._uri, "version": self._version},
            "contentChanges": [insert(self._line, self._column, key)],
        }
        if key == "\n":
            self._line, self._column = self._line + 1, 0
        else:
            self._column += 1
        identifier = self._version * 10_000_000 + self._line
        request = {
            "id": identifier,
            "method": METHOD,
            "params": inline_params(self._uri, self._line, self._column),
        }
        began = self._clock()
        self._client.send({"method": "textDocument/didChange", "params": change}, request)
        answer = self._client.answer(identifier)
        elapsed = (self._clock() - began) * 1000
        self._client.received.clear()
        if "error" in answer:
            raise RuntimeError(f"keystrokes: the server answered {answer['error']}")
        return elapsed


def keystroke_row(
    client: LspClient | ServerInside, lines: int, keys: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Percentiles over `keys` keystrokes in a file of `lines` lines."""
    typist = Typist(client, text_of(lines), f"file:///typed{lines}.py", clock)
    times = sorted(typist.type(TYPED[index % len(TYPED)]) for index in range(keys))
    return {
        "lines": lines,
        "p50_ms": round(times[keys // 2], 2),
        "p95_ms": round(times[int(keys * 0.95)], 2),
        "max_ms": round(times[-1], 2),
        "n": keys,
    }


def hour(client: LspClient, console: Console) -> dict[str, Any]:
    """Resident memory while 18,000 keys are typed."""
    process = psutil.Process(client.process.pid)
    typist = Typist(client, text_of(2_000), "file:///hour.py")
    megabytes = []
    for key in track(range(KEYS_PER_HOUR), "typing", console=console):
        if key % (KEYS_PER_HOUR // 10) == 0:
            megabytes.append(round(process.memory_info().rss / 1e6, 1))
        typist.type(TYPED[key % len(TYPED)])
    megabytes.append(round(process.memory_info().rss / 1e6, 1))
    return {"keys": KEYS_PER_HOUR, "rss_mb": megabytes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, nargs="*", default=[1_000, 10_000, 50_000])
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="The share in processor's time, as on a crowded machine.")
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    inside = ServerInside("value")
    clock = time.process_time if arguments.cpu else time.perf_counter
    report: dict[str, Any] = {
        "share": [keystroke_row(inside, lines, arguments.keys, clock) for lines in arguments.lines]
    }
    with lsp_client(answer="value") as client:
        client.initialize(options={"delay": 0})
        client.wait_ready()
        report["process"] = [keystroke_row(client, lines, arguments.keys) for lines in arguments.lines]
        if arguments.hour:
            report["hour"] = hour(client, console)
    show(report, as_json=arguments.json)


if __name__ == "__main__":
    main()
