"""The next edit: the change just made, where else it is due. The model or the linter has to agree with each place."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from diffill.model.code.syntax import Syntax

from ..documents import Document, Edit
from ..recent_changes import Change
from .check import Checker
from .hunks import apply_all
from .other_files import find_elsewhere
from .places import Place
from .proposals import Model, Writer
from .repair import MAX_CHARACTERS, SECONDS, SOME, Attempt, Elsewhere, Repair
from .sites import Sites, find_sites


async def same_change(
    document: Document,
    change: Change,
    model: Model,
    *,
    others: Sequence[Document] = (),
    roots: Sequence[Path] = (),
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Repair | None:
    """Edits at every other place where `change` is due, or None.

    All places together are verified when they clear a finding and add none, as after a name was changed where it is
    defined. Where no tool can tell, a place is kept only if the model, asked to fill it, writes the same. In a file
    that imports what was renamed the name is the same one, and no model is asked; nothing there counts as verified.

    Args:
        others: documents in which it may be due too.
        roots: folders that absolute modules are searched in.

    Raises:
        EngineError: the engine cannot answer.
    """
    if len(document.content) > MAX_CHARACTERS:
        return None
    found = await _here(document, change, model, on_attempt)
    elsewhere = []
    deadline = time.monotonic() + SECONDS
    for there in find_elsewhere(document, change, others, list(roots)):
        if time.monotonic() > deadline:
            break
        checker = await Checker.of(there.document)
        if there.is_imported and there.sites.text:
            edits = _expected(there.sites)
        else:
            edits = await _agreed(there.document, there.sites, model, on_attempt)
        if edits and (checked := await _checked(checker, there.document, edits)):
            elsewhere.append(Elsewhere(document=there.document, edits=checked.edits))
    if not elsewhere:
        return found
    note = f"{sum(len(there.edits) for there in elsewhere)} places in other files, which no tool confirms"
    found = found or Repair(edits=[], text=document.text, verified=False, note=note)
    return replace(found, verified=False, note=note, elsewhere=tuple(elsewhere))


async def _here(
    document: Document, change: Change, model: Model, on_attempt: Callable[[Attempt], None]
) -> Repair | None:
    """The edits in the changed document itself."""
    sites = find_sites(document.text, change, Syntax.parse(document.text, document.language))
    if sites is None:
        return None
    checker = await Checker.of(document)
    if sites.text:
        found = await _checked(checker, document, _expected(sites))
        if found is not None and found.verified:
            return found
    agreed = await _agreed(document, sites, model, on_attempt)
    return await _checked(checker, document, agreed) if agreed else None


def _expected(sites: Sites) -> list[Edit]:
    return [Edit(start=place.start, end=place.end, text=sites.text) for place in sites.places]


async def _agreed(document: Document, sites: Sites, model: Model, on_attempt: Callable[[Attempt], None]) -> list[Edit]:
    """The edits that the model would make too."""
    writer = Writer(text=document.text, model=model, language=document.language)
    agreed = []
    for tried, place in enumerate(sites.places, start=1):
        on_attempt(Attempt(tried=tried, refused=""))
        agreed += await _asked(writer, place, sites.text)
    return agreed


async def _asked(writer: Writer, place: Place, expected: str) -> list[Edit]:
    """The edit at one place: the expected one if the model would write it, the model's own where none is expected."""
    if expected:
        answers = [proposal.text for proposal in await writer.fill(place, candidates=SOME)]
        return [Edit(start=place.start, end=place.end, text=expected)] if expected in answers else []
    argument = await writer.argument(place)
    return [Edit(start=place.start, end=place.end, text=argument)] if argument else []


async def _checked(checker: Checker, document: Document, edits: list[Edit]) -> Repair | None:
    edits = sorted(edits, key=lambda edit: edit.start)
    text = apply_all(document.text, edits)
    verdict = await checker.improvement(text)
    if not verdict.accepted:
        return None
    return Repair(edits=edits, text=text, verified=verdict.verified, note=verdict.reason)
