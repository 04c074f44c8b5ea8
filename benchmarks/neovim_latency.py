"""From keypress to ghost text on the screen of a real Neovim, and what of it is the editor's wait, ours, and drawing.

    python -m benchmarks.neovim_latency PROGRAM [--own] [--keys 220] [--json FILE]

Types code of this project into a real terminal (tmux), key by key, with the default model. After each key it waits
until ghost text is drawn, the answer is that there is none, or two seconds are over. Times are taken inside Neovim: at
the key, when the request goes out, when the answer is there, and at the end of the first redraw with ghost text.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from diffill.cli.neovim_pack import PLUGIN
from tests.command_line import run, run_json
from tests.e2e.neovim.editor import Editor, Home, wait_for

SOURCE = Path(__file__).parent.parent / "lsp_server" / "positions.py"
CONTEXT_LINES = 24
PATIENCE_SECONDS = 2.0
PROBE = """\
local spaces = { 'nvim.lsp.inline_completion', 'diffill.ghost_text' }
local client = vim.lsp.get_clients({ name = 'diffill' })[1]
local request, now = client.request, vim.uv.hrtime
probe = {}
vim.on_key(function() probe = { key = now() } end)
client.request = function(self, method, params, handler, ...)
  if method ~= 'textDocument/inlineCompletion' then
    return request(self, method, params, handler, ...)
  end
  local mine = probe
  mine.sent = now()
  return request(self, method, params, function(problem, result, ...)
    mine.answered = now()
    mine.items = result and #(result.items or result) or 0
    return handler(problem, result, ...)
  end, ...)
end
vim.api.nvim_set_decoration_provider(vim.api.nvim_create_namespace('probe'), { on_end = function()
  for _, name in ipairs(spaces) do
    local space = vim.api.nvim_get_namespaces()[name]
    if probe.key and not probe.drawn and space and #vim.api.nvim_buf_get_extmarks(0, space, 0, -1, {}) > 0 then
      probe.drawn = now()
    end
  end
end })
"""
INIT = """\
vim.cmd('filetype indent off')
vim.o.autoindent, vim.o.swapfile = false, false
vim.opt.runtimepath:append({plugin})
vim.lsp.config('diffill', {{
  cmd = {{ {python}, '-m', 'diffill.lsp_server' }},
  settings = {{ diffill = {{ confidence = 0 }} }}, -- what is held back as too unlikely has no time on the screen
}})
vim.lsp.enable('diffill')
"""


def measure(program: Path, *, own: bool, keys: int) -> dict[str, Any]:
    """Type so many keys and sum up."""
    lines = SOURCE.read_text("utf-8").split("\n")
    typed = "\n".join(lines[CONTEXT_LINES:])[:keys]
    with tempfile.TemporaryDirectory(prefix="dfl-") as directory:
        place = Path(directory)
        file = place / "positions.py"
        file.write_text("\n".join(lines[:CONTEXT_LINES]) + "\n", "utf-8")
        engine = {"DIFFILL_RUNTIME_DIR": str(place / "engine"), "DIFFILL_DEVICE": "cpu"}
        init = INIT.format(plugin=json.dumps(str(PLUGIN)), python=json.dumps(sys.executable))
        home = Home.create(program, place, init=init, engine=engine)
        editor = Editor(home=home, socket=place / "s", session=place.name)
        try:
            editor.start(file, before="vim.g.diffill_ghost_text = 'own'" if own else "")
            editor.wait_ready()
            editor.lua(PROBE)
            editor.keys("G", "o")
            samples = [_type(editor, key) for key in track(typed, "Typing", console=Console(stderr=True))]
            version = str(editor.lua("return tostring(vim.version())"))
            model = run_json("engine", "status", **home.environment)["model"]
        finally:
            editor.close()
            run("engine", "stop", **home.environment)
    drawn_by = "plugin" if own or version < "0.12" else "Neovim"
    return {"neovim": version, "drawn by": drawn_by, "model": model, **_report(samples)}


def _type(editor: Editor, key: str) -> dict[str, float]:
    before = editor.lua("return probe.key or 0")
    if key == "\n":
        editor.keys("Enter")
    else:
        editor.text(key)
    wait_for("the key", lambda: editor.lua("return probe.key or 0") != before)
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        probe: dict[str, float] = editor.lua("return probe")
        if "drawn" in probe or probe.get("items") == 0:
            break
        time.sleep(0.01)
    return probe


def _report(samples: list[dict[str, float]]) -> dict[str, Any]:
    shown = [sample for sample in samples if "drawn" in sample]
    # Drawn before any answer: what was on the screen went on to fit.
    fresh = [sample for sample in shown if "answered" in sample and sample["answered"] <= sample["drawn"]]
    return {
        "keys": len(samples),
        "shown": len(shown),
        "of these, typed through what was shown": len(shown) - len(fresh),
        "key to screen, all": _milliseconds(shown, "key", "drawn"),
        "key to screen, new answers": _milliseconds(fresh, "key", "drawn"),
        "of that, until the editor asks": _milliseconds(fresh, "key", "sent"),
        "of that, ours": _milliseconds(fresh, "sent", "answered"),
        "of that, drawing": _milliseconds(fresh, "answered", "drawn"),
        "samples": [[_after_key(sample, name) for name in ("sent", "answered", "drawn")] for sample in samples],
    }


def _after_key(sample: dict[str, float], name: str) -> float | None:
    """Milliseconds from the key; None for what did not happen."""
    return round((sample[name] - sample["key"]) / 1e6, 1) if name in sample else None


def _milliseconds(samples: list[dict[str, float]], start: str, end: str) -> dict[str, float]:
    times = sorted((sample[end] - sample[start]) / 1e6 for sample in samples)
    if len(times) < 2:
        return {}
    return {"p50": round(statistics.median(times), 1), "p95": round(statistics.quantiles(times, n=20)[-1], 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, help="the Neovim to type in")
    parser.add_argument("--own", action="store_true", help="ghost text by the plugin on 0.12 too")
    parser.add_argument("--keys", type=int, default=220)
    parser.add_argument("--json", type=Path, help="also write the report there, with every sample")
    arguments = parser.parse_args()
    report = measure(arguments.program.absolute(), own=arguments.own, keys=arguments.keys)
    if arguments.json is not None:
        lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in report.items()]
        arguments.json.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    print(json.dumps({name: value for name, value in report.items() if name != "samples"}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
