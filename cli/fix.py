"""`diffill fix`: repairs of what the tools report in a file, checked, as a unified diff."""

from __future__ import annotations

import asyncio
import difflib
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .location import FileLine, FileLineType
from .options import adapter_option, checkpoint_option, device_option, engine_settings, json_option, mode_option
from .problem import engine_problem
from .replace_file import replace_text

if TYPE_CHECKING:
    from diffill.lsp_server.documents import Document
    from diffill.lsp_server.repair.fault import Fault
    from diffill.lsp_server.repair.proposals import Model
    from diffill.model.client import EngineSettings
    from diffill.model.request import Mode, ModelInfo

NOT_FOUND = 1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One fault, and whether it was mended. Line and column as they were when its turn came, counted from 1."""

    line: int
    column: int
    code: str
    message: str
    fixed: bool
    verified: bool
    note: str


@dataclass(kw_only=True)
class Report:
    """What one call did. `text` is the file with all repairs."""

    model: ModelInfo
    before: str
    text: str
    outcomes: list[Outcome] = field(default_factory=list)
    total_ms: float = 0.0

    def to_json(self, file: Path, *, applied: bool) -> dict[str, object]:
        return {
            "file": str(file),
            "faults": self.outcomes,
            "fixed": sum(outcome.fixed for outcome in self.outcomes),
            "diff": unified_diff(file, self.before, self.text),
            "applied": applied,
            "device": self.model.device,
            "ms": {"total": self.total_ms},
            "model": {"name": self.model.name, "hash": self.model.hash, "adapter": self.model.adapter},
        }


@click.command()
@click.argument("place", metavar="FILE[:LINE]", type=FileLineType())
@click.option("--instruction", default="", metavar="TEXT", help="What to change at LINE; in place of the diagnostics.")
@click.option("--apply", "apply_", is_flag=True, help="Write the repaired file.")
@mode_option
@device_option
@checkpoint_option
@adapter_option
@json_option
@click.pass_context
def fix(
    ctx: click.Context,
    place: FileLine,
    instruction: str,
    apply_: bool,
    mode: Mode,
    device: str | None,
    checkpoint: Path | None,
    adapter: str | None,
    as_json: bool,
) -> None:
    """Repair what the tools report in a file: ruff for Python, the grammar for other languages.

    A repair is shown only when the tool no longer reports the fault and reports nothing new. On a LINE of which no tool
    complains, and with an instruction, the model decides alone and only the parse and new findings are checked.
    Exits with 1 when there is a fault and no fix for it was found.
    """
    try:
        document = place.open()
    except ValueError as error:
        raise click.UsageError(f"FILE[:LINE]: {error}") from None
    if instruction and place.line is None:
        raise click.UsageError("--instruction: name the line that it is for, as FILE:LINE.")
    settings = engine_settings(checkpoint=checkpoint, device=device, adapter=adapter, place=place.file)
    report = asyncio.run(_run(document, place.line, instruction, settings=settings, mode=mode))
    changed = report.text != report.before
    if apply_ and changed:
        try:
            replace_text(place.file, report.before, report.text)
        except ValueError as error:
            raise click.ClickException(f"--apply: {error}") from None
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(report.to_json(place.file, applied=apply_ and changed)))
    else:
        from .block_view import printable

        diff = unified_diff(place.file, report.before, report.text)
        # What a model writes must not drive the terminal.
        click.echo(printable(diff, keep="\n\t") if sys.stdout.isatty() else diff, nl=False)
    for outcome in report.outcomes:
        where = f"{place.file}:{outcome.line}:{outcome.column}"
        what = f"{outcome.code} {outcome.message}".strip() or "the line"
        click.echo(f"{where}: {'fixed' if outcome.fixed else 'no fix found'}: {what}{_bracketed(outcome)}", err=True)
    if not report.outcomes:
        click.echo("nothing to fix: no tool reports a fault", err=True)
    elif not changed:
        ctx.exit(NOT_FOUND)


def _bracketed(outcome: Outcome) -> str:
    if outcome.verified or not outcome.note:
        return ""
    return f" (not verified: {outcome.note})" if outcome.fixed else f" ({outcome.note})"


async def _run(
    document: Document, line: int | None, instruction: str, *, settings: EngineSettings, mode: Mode
) -> Report:
    from diffill.lsp_server.repair.proposals import Model
    from diffill.model.client import EngineClient, EngineError

    from .complete import load_tokenizer
    from .loading import LoadingBar

    client = EngineClient(settings)
    try:
        with LoadingBar() as bar:
            model = (await client.wait_ready(bar.update)).model
        tokenizer = await asyncio.to_thread(load_tokenizer, settings.checkpoint)
        if model is None:
            raise click.ClickException("engine: it is ready but names no model")
        report = Report(model=model, before=document.text, text=document.text)
        began = time.perf_counter()
        await _mend(report, document, line, instruction, Model(engine=client, tokenizer=tokenizer, mode=mode))
        report.total_ms = (time.perf_counter() - began) * 1000
        return report
    except EngineError as error:
        raise engine_problem(error) from None
    finally:
        await client.close()


async def _mend(
    report: Report,
    document: Document,
    line: int | None,
    instruction: str,
    writer: Model,
) -> None:
    """One fault after the other, each in the text that the repairs before it left."""
    from diffill.lsp_server.repair.fault import Fault
    from diffill.lsp_server.repair.repair import repair, rewrite

    from .repair_progress import RepairProgress

    faults = [] if instruction else await _faults(document)
    if line is not None:
        start, end = document.line_span(line - 1)
        faults = [fault for fault in faults if fault.start <= end and start <= fault.end] or [
            Fault(start=start, end=end, message=instruction)
        ]
    wanted = [(fault.code, fault.message) for fault in faults]
    with RepairProgress(len(wanted)) as progress:
        for code, message in wanted:
            if code:
                faults = await _faults(document)
            fault = next((fault for fault in faults if (fault.code, fault.message) == (code, message)), None)
            if fault is None:
                continue  # an earlier repair mended it too
            progress.begin(fault.instruction)
            work = repair if fault.source else rewrite
            found = await work(document, fault, writer, on_attempt=progress.report)
            note = found.note if found else progress.refused
            if found is not None and fault.source and not found.verified:
                found = None  # a tool reports the fault, and it could not be asked whether the repair mends it
            place = document.column_at_offset(fault.start)
            if found is not None:
                document.replace(found.text)
            report.outcomes.append(
                Outcome(
                    line=place[0],
                    column=place[1],
                    code=code,
                    message=message,
                    fixed=found is not None,
                    verified=found is not None and found.verified,
                    note=note,
                )
            )
    report.text = document.text


async def _faults(document: Document) -> list[Fault]:
    """What is wrong in a file: as ruff has it in Python, as the grammar has it elsewhere."""
    from diffill.lsp_server.repair.fault import Fault, syntax_faults
    from diffill.lsp_server.repair.linter import LinterError, lint

    if document.language != "python":
        return syntax_faults(document)
    try:
        return [Fault.of_finding(finding) for finding in await lint(document)]
    except LinterError as error:
        raise click.ClickException(f"ruff: {error}") from None


def unified_diff(file: Path, before: str, after: str) -> str:
    """As `diff -u` has it: lines end at LF, and a last line without one is marked."""
    old, new = (re.findall(r"[^\n]*\n|[^\n]+", text) for text in (before, after))
    lines = difflib.unified_diff(old, new, str(file), str(file))
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
