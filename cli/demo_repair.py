"""The repairs that `diffill demo` shows: mistakes put into the samples, reported by ruff, mended by the real server."""

from __future__ import annotations

import time
from typing import Any

from diffill.lsp_server.documents import Document
from diffill.lsp_server.repair.linter import Finding, lint
from diffill.model.client import EngineSettings
from diffill.model.code.languages import language_of

from .demo_report import ShownRepair
from .editor_session import EditorSession
from .sample import SAMPLES, SLIPS, Sample, Slip
from .screen import Screen


def demo_session(settings: EngineSettings) -> EditorSession:
    """An editor on the engine of `settings`, which leaves no trace in the user's figures."""
    environment = {"DIFFILL_CHECKPOINT": str(settings.checkpoint.absolute()), "DIFFILL_DEVICE": settings.device}
    if settings.directory is not None:
        environment["DIFFILL_RUNTIME_DIR"] = str(settings.directory.absolute())
    # `python -m` puts the working directory first on the module path: not the user's, which may hold any module.
    return EditorSession(environment=environment, directory=SAMPLES, settings={"statistics": False})


async def show_repairs(settings: EngineSettings, samples: list[Sample], screen: Screen) -> list[ShownRepair]:
    """Play the editor whose linter found a mistake, and press `Fix this`."""
    shown = []
    async with demo_session(settings) as session:
        await session.wait_ready()
        for slip in SLIPS:
            sample = next(sample for sample in samples if sample.path.name == slip.file)
            shown.append(await _repair(session, sample, slip))
            screen.repair(shown[-1])
    return shown


async def _repair(session: EditorSession, sample: Sample, slip: Slip) -> ShownRepair:
    text = sample.text.replace(slip.right, slip.wrong)
    uri, language = sample.path.as_uri(), language_of(sample.path)
    document = Document(uri=uri, language=language, version=1, text=text)
    finding = await _news(document, sample.text)
    line = document.position_at(finding.start, "utf-16")[0]
    session.open(uri, language, text)
    diagnostic = {
        "range": _range(document, finding),
        "code": finding.code,
        "source": "ruff",
        "message": finding.message,
    }
    began = time.perf_counter()
    edits = await session.fix(uri, diagnostic)
    ms = (time.perf_counter() - began) * 1000
    session.close(uri)
    for edit in reversed(edits):
        start, end = (edit["range"][side] for side in ("start", "end"))
        first = document.offset_at(start["line"], start["character"], "utf-16")
        last = document.offset_at(end["line"], end["character"], "utf-16")
        text = text[:first] + edit["newText"] + text[last:]
    return ShownRepair(
        file=slip.file,
        line=line + 1,
        diagnostic=f"{finding.code} {finding.message}",
        before=document.text.split("\n")[line].strip(),
        after=text.split("\n")[line].strip() if edits else "",
        verified=bool(edits) and not await _still(document, text, finding),
        ms=ms,
    )


async def _news(document: Document, before: str) -> Finding:
    """What the linter says of the mistake, and did not say before."""
    old = {(finding.code, finding.message) for finding in await lint(_with_text(document, before))}
    return next(finding for finding in await lint(document) if (finding.code, finding.message) not in old)


async def _still(document: Document, text: str, finding: Finding) -> bool:
    """Whether the linter goes on saying it: asked here, not taken from the server."""
    return (finding.code, finding.message) in {
        (other.code, other.message) for other in await lint(_with_text(document, text))
    }


def _with_text(document: Document, text: str) -> Document:
    return Document(uri=document.uri, language=document.language, version=0, text=text)


def _range(document: Document, finding: Finding) -> dict[str, Any]:
    places = [document.position_at(offset, "utf-16") for offset in (finding.start, finding.end)]
    start, end = ({"line": line, "character": character} for line, character in places)
    return {"start": start, "end": end}
