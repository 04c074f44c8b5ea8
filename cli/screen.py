"""What `diffill demo` prints: colours and a moving picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from diffill.model.request import ModelInfo, Step
from diffill.model.tokenizer import Tokenizer

from .block_view import BlockView, printable, trace_line
from .demo_report import DemoReport, ShownCompletion, ShownRepair
from .sample import Cursor, Sample

GHOST = "italic cyan dim"
LINES_BEFORE, LINES_AFTER = 3, 1
FRAME_SECONDS = 0.15
"""How long a step stays on the screen: the model is faster than the eye."""


class Screen:
    """Standard output; nothing at all when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(quiet=quiet, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def title(self, model: ModelInfo) -> None:
        self._console.print(
            f"{model.name} {model.hash}, {model.parameters / 1e6:.0f} M parameters, on {model.device}", style="bold"
        )

    def completion(self, sample: Sample, cursor: Cursor, shown: ShownCompletion) -> None:
        """The lines around the cursor, with the ghost text where the editor would show it."""
        offset = sample.offset(cursor)
        after = "\n".join(sample.text[offset + len(cursor.missing) :].split("\n")[: LINES_AFTER + 1])
        self._console.print(
            f"\n{shown.file}:{shown.line}:{shown.column}  first {shown.first_ms:.0f} ms, again {shown.again_ms:.0f} ms",
            style="bold",
        )
        code = Text(_last_lines(sample.text[:offset]))
        code.append_text(self._ghost(shown.text))
        code.append(after.rstrip())
        self._console.print(code)

    def repair(self, shown: ShownRepair) -> None:
        """The line before and after, and what the linter had said."""
        self._console.print(
            f"\n{shown.file}:{shown.line}  Fix this: {shown.diagnostic}  {shown.ms:.0f} ms", style="bold"
        )
        self._console.print(Text(f"- {printable(shown.before)}", style="red"))
        if shown.after:
            checked = "checked: ruff no longer reports it" if shown.verified else "not verified"
            self._console.print(
                Text(f"+ {printable(shown.after)}", style="green").append(f"  ({checked})", style="dim")
            )
        else:
            self._console.print("no safe fix found", style="dim")

    async def block(self, code: str, steps: AsyncIterator[Step], tokenizer: Tokenizer) -> None:
        """The end of `code`, and behind it every step of the answer."""
        self._console.print("\none answer while it is denoised (mode diffusion), slowed down", style="bold")
        if not self._console.is_terminal:
            async for step in steps:
                self._console.print(trace_line(step, tokenizer))
            return
        context = Text(_last_lines(code))
        view = BlockView(tokenizer)
        with Live(context, console=self._console, auto_refresh=False) as live:
            async for step in steps:
                view.add(step)
                picture = context.copy().append_text(view.picture())
                live.update(picture.append(f"\n\npass {step.forward_pass}", style="dim"), refresh=True)
                await asyncio.sleep(FRAME_SECONDS)

    def table(self, report: DemoReport) -> None:
        first, again = report.median_ms()
        answered = sum(bool(completion.text) for completion in report.completions)
        self._console.print(
            f"\n{answered} of {len(report.completions)} places completed; "
            f"median {first:.0f} ms asked first, {again:.0f} ms asked again\n"
        )
        columns = ("mode", "answers", "tokens", "forwards", "tokens per forward", "ms per answer")
        table = Table(*columns, box=SIMPLE, pad_edge=False)
        for row in report.modes:
            table.add_row(
                row.mode,
                str(row.answers),
                str(row.tokens),
                str(row.forward_passes),
                f"{row.tokens_per_forward:.2f}",
                f"{(row.prefill_ms + row.denoise_ms) / max(1, row.answers):.0f}",
            )
        self._console.print(table)

    def _ghost(self, text: str) -> Text:
        if not text:
            return Text("⟦nothing to say⟧", style="dim")
        text = printable(text, keep="\n\t")
        return Text(text, style=GHOST) if self._console.is_terminal else Text(f"⟦{text}⟧")


def _last_lines(code: str) -> str:
    """The end of `code` as context; it does not begin with blank lines."""
    return "\n".join(code.split("\n")[-LINES_BEFORE - 1 :]).lstrip("\n")
