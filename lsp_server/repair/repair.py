"""One repair: a fault or an instruction to the checked edits. Knows no transport; server and command line call it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import Literal

from diffill.model.code.syntax import Syntax

from ..documents import Document, Edit
from .check import Checker, distance
from .fault import Fault
from .hunks import hunks
from .places import holes, regions
from .proposals import Model, Proposal, Writer
from .stub import stub_at

Step = Literal["fill words", "import", "fill lines", "revise"]
ORDER: tuple[Step, ...] = ("fill words", "import", "fill lines", "revise")
"""What a repair tries, one after the other: the cheapest first, and `revise` last, which alone shows the model what the
tool says, because the default weights were not trained on edits."""
WITHIN = 2
"""Of the places to fill, so many are of a word or two and quickly filled."""
_WORD = re.compile(r"\w+")
CLOSE = 3
"""A verified answer that changes at most so many characters is not compared with those in a larger place."""
HINT = 2.0
"""Worth, as a log-probability, of a new word that the tool's own message names."""
MANY, SOME, FEW = 8, 4, 2
"""Answers asked for in a place of a few words, of a line, and of several lines."""
SECONDS = 20.0
"""After so long no further place is begun: whoever waits has given up."""
MAX_CHARACTERS = 500_000
"""A longer text is data, and no tool reads it between two breaths."""


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """Edits to another document than the one that was asked about, as it was when they were found."""

    document: Document
    edits: list[Edit]


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Edits to a document, in order and without overlap. Offsets are in characters."""

    edits: list[Edit]
    text: str
    """The whole text with the edits."""
    verified: bool
    """The tool that reported the fault no longer does and reports nothing new."""
    note: str
    """What could not be checked, in one line; empty when verified."""
    proposal: Proposal | None = None
    """The answer that it came from, where it is one."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """What belongs to it in other files."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How far a search is, for whoever waits."""

    tried: int
    refused: str
    """Why the last candidate was refused."""


async def repair(
    document: Document,
    fault: Fault,
    model: Model,
    *,
    refused: Collection[str] = (),
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Repair | None:
    """The smallest change that mends `fault` and passes the check, or None.

    Places grow from the reported characters to the enclosing function. A verified answer that changes a few characters
    is taken at once, else the likeliest of two places; one that cannot be verified only when nothing could be.

    Args:
        document: must not change meanwhile.
        refused: whole texts that are not to be offered, because a tool spoke against them once they were applied.
        on_attempt: hears of every candidate.

    Raises:
        EngineError: the engine cannot answer.
    """
    text = document.text
    if not _is_within(text, fault):
        return None
    writer = Writer(text=text, model=model, language=document.language)
    syntax = Syntax.parse(text, document.language)

    places = holes(text, fault.start, fault.end, syntax)

    async def answers() -> AsyncIterator[list[Proposal]]:
        for step in ORDER:
            if step == "fill words":
                for place in places[:WITHIN]:
                    yield await writer.fill(place, candidates=MANY)
            elif step == "import":
                if fault.may_lack_import:
                    yield await writer.import_line(fault.start, candidates=SOME)
            elif step == "fill lines":
                for place in places[WITHIN:]:
                    yield await writer.fill(place, candidates=SOME)
            else:
                for place in regions(text, fault.start, fault.end, syntax):
                    yield await writer.revise(place, fault.instruction, candidates=FEW)

    return await _best(document, fault, writer, answers(), on_attempt, refused)


async def rewrite(
    document: Document,
    fault: Fault,
    model: Model,
    *,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Repair | None:
    """The selection that `fault` is, rewritten as its message says, or None when the model leaves it as it is.

    Several lines are taken as they are selected. A place within one line stands for the largest unit around it that
    can be written at once, its function first; without an instruction for its own line first. Arguments and errors
    are those of `repair`.
    """
    text = document.text
    if not _is_within(text, fault):
        return None
    writer = Writer(text=text, model=model, language=document.language)
    places = regions(text, fault.start, fault.end, Syntax.parse(text, document.language))
    if "\n" in text[fault.start : fault.end]:
        places = places[:1]
    elif fault.message:
        places.reverse()

    async def answers() -> AsyncIterator[list[Proposal]]:
        for place in places:
            yield await writer.revise(place, fault.instruction, candidates=FEW)
        if not fault.message:
            for place in holes(text, fault.start, fault.end, None):
                yield await writer.fill(place, candidates=FEW)

    return await _best(document, fault, writer, answers(), on_attempt)


async def complete_body(
    document: Document,
    offset: int,
    model: Model,
    *,
    on_attempt: Callable[[Attempt], None] = lambda attempt: None,
) -> Repair | None:
    """The body of the function around `offset` in place of its stub, or None where there is no stub.

    Arguments and errors are those of `repair`.
    """
    fault = Fault(start=offset, end=offset)
    if not _is_within(document.text, fault):
        return None
    stub = stub_at(document.text, offset, Syntax.parse(document.text, document.language))
    if stub is None:
        return None
    writer = Writer(text=stub.text, model=model, language=document.language)

    async def answers() -> AsyncIterator[list[Proposal]]:
        yield await writer.fill(stub.place, candidates=FEW)

    return await _best(document, fault, writer, answers(), on_attempt)


def _is_within(text: str, fault: Fault) -> bool:
    return len(text) <= MAX_CHARACTERS and 0 <= fault.start <= fault.end <= len(text)


async def _best(
    document: Document,
    fault: Fault,
    writer: Writer,
    answers: AsyncIterator[list[Proposal]],
    on_attempt: Callable[[Attempt], None],
    refused: Collection[str] = (),
) -> Repair | None:
    """The likeliest verified answer of two places in a row, of one if it changes little; else the first accepted."""
    checker = await Checker.of(document)
    accepted: Repair | None = None
    seen = set(refused)
    deadline = time.monotonic() + SECONDS
    verified: list[Repair] = []
    async for proposals in answers:
        is_second = bool(verified)
        for proposal in proposals:
            text = writer.text[: proposal.start] + proposal.text + writer.text[proposal.end :]
            if text in seen:
                continue
            seen.add(text)
            verdict = await checker.verdict(text, fault)
            on_attempt(Attempt(tried=len(seen), refused=verdict.reason))
            if not verdict.accepted:
                continue
            candidate = Repair(
                edits=hunks(document.text, text),
                text=text,
                proposal=proposal,
                verified=verdict.verified,
                note=verdict.reason,
            )
            if verdict.verified:
                verified.append(candidate)
            else:
                accepted = accepted or candidate
        if verified:
            best = max(verified, key=lambda candidate: _likelihood(candidate, document.text, fault))
            if is_second or distance(best.edits, document.text) <= CLOSE:
                return best
        if time.monotonic() > deadline:
            break
        if accepted is not None and not fault.source:
            break  # no tool to convince: a further place would only be another answer
    return verified[0] if verified else accepted


def _likelihood(candidate: Repair, text: str, fault: Fault) -> float:
    """Log-probability that this is meant where `text` is written: the model's, less one for each wrong character."""
    proposal = candidate.proposal
    written = {word for edit in candidate.edits for word in _WORD.findall(edit.text)}
    named = written & set(_WORD.findall(fault.message))
    likelihood = proposal.score * proposal.tokens if proposal else 0.0
    return likelihood - distance(candidate.edits, text) + HINT * len(named)
