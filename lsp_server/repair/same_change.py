"""The next edit: the change just made, where else it is due. The model or the linter has to agree with each place."""

from __future__ import annotations

from collections.abc import Callable

from diffill.model.code.syntax import Syntax

from ..documents import Document, Edit
from ..recent_changes import Change
from .check import Checker
from .hunks import apply_all
from .places import Place
from .proposals import Model, Writer
from .repair import MAX_CHARACTERS, SOME, Attempt, Repair
from .sites import find_sites


async def same_change(
    document: Document,
    change: Change,
    model: Model,
    *,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Repair | None:
    """Edits at every other place where `change` is due, or None.

    All places together are verified when they clear a finding and add none, as after a name was changed where it is
    defined. Where no tool can tell, a place is kept only if the model, asked to fill it, writes the same.

    Raises:
        EngineError: the engine cannot answer.
    """
    text = document.text
    if len(text) > MAX_CHARACTERS:
        return None
    sites = find_sites(text, change, Syntax.parse(text, document.language))
    if sites is None:
        return None
    checker = await Checker.of(document)
    writer = Writer(text=text, model=model)
    edits = [Edit(start=place.start, end=place.end, text=sites.text) for place in sites.places]
    if sites.text:
        found = await _checked(checker, document, edits)
        if found is not None and found.verified:
            return found
    agreed = []
    for tried, place in enumerate(sites.places, start=1):
        on_attempt(Attempt(tried=tried, refused=""))
        agreed += await _asked(writer, place, sites.text)
    return await _checked(checker, document, agreed) if agreed else None


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
