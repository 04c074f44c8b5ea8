"""What ruff says about a Python text, asked over its standard input: nothing is written, no code of the user runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from ..documents import Document

log = logging.getLogger(__name__)

LINT_SECONDS = 10.0
MAX_FINDINGS = 5_000
_ALWAYS = "F"
"""Rules that are asked for whatever the project selects: undefined, unused and redefined names."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a tool reports about a text. Offsets are in characters."""

    start: int
    end: int
    code: str
    message: str


class LinterError(Exception):
    """Ruff is not there, or did not answer; one line."""


class _Place(msgspec.Struct):
    row: int
    column: int


class _Report(msgspec.Struct):
    location: _Place
    end_location: _Place
    message: str
    code: str | None = None


async def lint(document: Document, *, silenced_too: bool = False) -> list[Finding]:
    """The findings in a Python document, in its order, under the settings of the project that its path lies in.

    Args:
        silenced_too: also what a `# noqa` comment silences. A repair must not clear a finding by silencing it.

    Raises:
        LinterError: there is no ruff, or it failed.
    """
    options = ["--ignore-noqa"] if silenced_too else []
    path = _path_of(document.uri)
    # Settings that ruff cannot read are the project's problem, not a reason to check nothing.
    attempts = [["--isolated"]] if path is None else [["--stdin-filename", path], ["--isolated"]]
    for attempt in attempts:
        output = await _run([*options, "--extend-select", _ALWAYS, *attempt], document.text)
        if output is not None:
            return _findings(output, document)
    raise LinterError("ruff did not check the text")


async def _run(options: list[str], text: str) -> bytes | None:
    """Ruff's report; None when it refuses the settings."""
    process = await asyncio.create_subprocess_exec(
        _executable(),
        "check", "--quiet", "--no-cache", "--no-fix", "--exit-zero", "--output-format", "json", *options, "-",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        work = process.communicate(text.encode("utf-8", "replace"))
        output, _ = await asyncio.wait_for(work, LINT_SECONDS)
    except asyncio.TimeoutError:
        raise LinterError(f"ruff did not answer within {LINT_SECONDS:g} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return output if process.returncode == 0 else None


def _findings(output: bytes, document: Document) -> list[Finding]:
    try:
        reports = msgspec.json.decode(output, type=list[_Report])
    except msgspec.MsgspecError as error:
        raise LinterError(f"ruff's answer cannot be read: {error}") from None
    if len(reports) > MAX_FINDINGS:
        raise LinterError(f"ruff reports more than {MAX_FINDINGS} findings: the text is hardly Python")
    findings = [
        Finding(
            start=_offset(document, report.location),
            end=_offset(document, report.end_location),
            code=report.code or "invalid-syntax",
            message=report.message,
        )
        for report in reports
    ]
    return sorted(findings, key=lambda finding: (finding.start, finding.end))


def _offset(document: Document, place: _Place) -> int:
    return document.offset_at(place.row - 1, place.column - 1, "utf-32")


def _path_of(uri: str) -> str | None:
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.scheme == "file" and parts.netloc in ("", "localhost") else None


@cache
def _executable() -> str:
    """The binary of the wheel; what is on PATH may be of any version, and is taken only where the wheel is missing."""
    beside = Path(sysconfig.get_path("scripts")) / f"ruff{sysconfig.get_config_var('EXE') or ''}"
    found = str(beside) if beside.is_file() else shutil.which("ruff")
    if found is None:
        raise LinterError("ruff is not installed")
    return found
