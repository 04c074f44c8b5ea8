"""Whether a proposed text may be shown: it parses, the tool that complained is content, and nothing new is wrong."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from keyword import iskeyword

from diffill.model.code.span import line_end, line_start
from diffill.model.code.syntax import Syntax

from ..documents import Document, Edit
from .fault import GRAMMAR, Fault, normal_words
from .hunks import hunks
from .linter import Finding, LinterError, lint

_SILENCERS = re.compile(
    r"#\s*(noqa|type:\s*ignore|pyright:|pylint:|ruff:)|@ts-(ignore|expect-error|nocheck)|eslint-disable|biome-ignore"
    r"|//\s*nolint|NOSONAR|@SuppressWarnings|#\[allow\(|NOLINT|rubocop:disable",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"(#|//|--).*")
_NOTHING = {"pass"}
"""Words that do nothing."""
_ASKED = re.compile(r"(?:should be|[Uu]se) [`']([^`']+)[`']")
_TOKEN = re.compile(r"\w+|[^\w\s]+")
_IMPORT = re.compile(r"(from|import) [^\n]*\n?")
MAX_CHANGED = 0.6
"""Share of the characters of a passage that a repair may change: it mends code, it does not replace it."""
MAX_COMPARED = 4_000
"""Characters. A longer passage counts as changed throughout: comparing takes the square of its length."""
FEW_CHARACTERS = 6
"""So many may always take the place of signs: of `!=` or of nothing."""
_WORD_CHARACTER = re.compile(r"\w")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the check found."""

    accepted: bool
    verified: bool = False
    """The tool that reported the fault was run on the new text: it no longer does, and reports nothing new."""
    reason: str = ""
    """Why it is refused, or what could not be checked; one line."""


class Checker:
    """One document before the repair, and what its tools say about it."""

    def __init__(self, document: Document, findings: list[Finding] | None, why_not_linted: str) -> None:
        self._document = document
        self._findings = findings
        self._why_not_linted = why_not_linted
        self._problems = _problems(document)

    @classmethod
    async def of(cls, document: Document) -> Checker:
        """Look at a document, which must not change while the checker is used."""
        if document.language != "python":
            return cls(document, None, f"no tool for {document.language} is run here")
        try:
            return cls(document, await lint(document, silenced_too=True), "")
        except LinterError as error:
            return cls(document, None, str(error))

    async def verdict(self, text: str, fault: Fault) -> Verdict:
        """Whether `text` may take the document's place to mend `fault`."""
        if reason := self._refusal(text, fault):
            return Verdict(accepted=False, reason=reason)
        changed = Document(uri=self._document.uri, language=self._document.language, version=0, text=text)
        problems = _problems(changed)
        if self._problems is not None and problems is not None and problems > self._problems:
            return Verdict(accepted=False, reason="it would not parse")
        if fault.source == GRAMMAR:
            mended = self._problems is not None and problems is not None and problems < self._problems
            return Verdict(accepted=mended, verified=mended, reason="" if mended else "it would not parse either")
        if self._findings is None and fault.source.casefold() == "ruff":
            return Verdict(accepted=False, reason=self._why_not_linted)  # it complained, and cannot be asked again
        if self._findings is None:
            return Verdict(accepted=True, reason=f"parsed only: {self._why_not_linted}")
        return await self._lint(changed, fault)

    async def improvement(self, text: str) -> Verdict:
        """As `verdict` for a change that mends no fault in particular: verified when findings go and none come."""
        changed = Document(uri=self._document.uri, language=self._document.language, version=0, text=text)
        if self._problems is not None and (_problems(changed) or 0) > self._problems:
            return Verdict(accepted=False, reason="it would not parse")
        if self._findings is None:
            return Verdict(accepted=True, reason=f"parsed only: {self._why_not_linted}")
        before = _count(self._findings)
        try:
            found = _count(await lint(changed, silenced_too=True))
        except LinterError as error:
            return Verdict(accepted=False, reason=str(error))
        if new := found - before:
            code, message = next(iter(new))
            return Verdict(accepted=False, reason=f"ruff then reports {code} {message}")
        verified = bool(before - found)
        return Verdict(accepted=True, verified=verified, reason="" if verified else "ruff reports nothing new")

    async def _lint(self, changed: Document, fault: Fault) -> Verdict:
        allowed = _count(self._findings or [])
        target = fault.closest(self._findings or [])
        if target is not None:
            allowed -= _count([target])
        try:
            findings = await lint(changed, silenced_too=True)
        except LinterError as error:
            return Verdict(accepted=False, reason=str(error))
        if target is not None and _remains(target, findings, hunks(self._document.text, changed.text)):
            return Verdict(accepted=False, reason=f"ruff still reports {target.code} {target.message}")
        if new := _count(findings) - allowed:
            code, message = next(iter(new))
            return Verdict(accepted=False, reason=f"ruff then reports {code} {message}")
        if target is None and fault.source:
            return Verdict(accepted=True, reason=f"ruff reports nothing new; {fault.source} was not run again")
        return Verdict(accepted=True, verified=target is not None)

    def _refusal(self, text: str, fault: Fault) -> str:
        """What is wrong with the change itself, whatever the tools say."""
        before = self._document.text
        if text == before:
            return "it changes nothing"
        if len(_SILENCERS.findall(text)) > len(_SILENCERS.findall(before)):
            return "it silences the tool instead of mending the fault"
        edits = hunks(before, text)
        removed = "".join(before[edit.start : edit.end] for edit in edits)
        written = " ".join(_COMMENT.sub("", edit.text) for edit in edits)
        if not set(written.split()) - _NOTHING:
            if any(edit.text.strip() for edit in edits):
                return "it puts nothing there, or a comment"
            if _WORD_CHARACTER.search(removed) and not fault.may_be_deleted:
                return "it only deletes what the fault is in"
        if missing := _asked_for(fault.message) - set(_TOKEN.findall(_changed_lines(before, text, edits))):
            return f"the tool asks for {min(missing)}"
        if fault.source and not all(_mends(before, edit, fault) for edit in edits):
            return "it writes something else instead of mending what is there"
        return ""


def _asked_for(message: str) -> set[str]:
    """Keywords and signs that a message names: `is`, `not` and `None` of "should be `cond is not None`"."""
    asked = _ASKED.search(message)
    tokens = _TOKEN.findall(asked.group(1)) if asked is not None else []
    return {token for token in tokens if iskeyword(token) or not token.isidentifier()}


def _changed_lines(before: str, after: str, edits: list[Edit]) -> str:
    """The lines of `after` that the edits wrote to, whole."""
    end = edits[-1].end + len(after) - len(before)
    return after[line_start(after, edits[0].start) : line_end(after, end)]


def distance(edits: list[Edit], text: str) -> int:
    """How many characters `edits` change in `text`."""
    changed = 0
    for edit in edits:
        if edit.end - edit.start + len(edit.text) > MAX_COMPARED:
            changed += max(edit.end - edit.start, len(edit.text))
            continue
        matcher = SequenceMatcher(None, text[edit.start : edit.end], edit.text, autojunk=False)
        for tag, old_start, old_end, new_start, new_end in matcher.get_opcodes():
            changed += 0 if tag == "equal" else max(old_end - old_start, new_end - new_start)
    return changed


def _mends(text: str, edit: Edit, fault: Fault) -> bool:
    """Whether an edit changes little of a passage, deletes what may go, or adds an import."""
    old = text[edit.start : edit.end]
    if not edit.text.strip() and fault.may_be_deleted:
        return True
    if not old and _IMPORT.fullmatch(edit.text):
        return True
    if _WORD_CHARACTER.search(old):
        return distance([edit], text) <= MAX_CHANGED * max(len(old), len(edit.text))
    return distance([edit], text) <= max(FEW_CHARACTERS, MAX_CHANGED * len(old))


def _remains(target: Finding, findings: list[Finding], edits: list[Edit]) -> bool:
    """Whether `target` is found again in its own place after `edits`.

    Counting alone does not tell: the same finding may have been mended somewhere else.
    """
    start, end = _moved(target.start, target.end, edits)
    return any(
        _key(finding) == _key(target) and (finding.start == start or (finding.start < end and start < finding.end))
        for finding in findings
    )


def _moved(start: int, end: int, edits: list[Edit]) -> tuple[int, int]:
    """Where a range is after `edits`, with what they wrote in its place."""
    first, last = start, end
    for edit in edits:
        grown = len(edit.text) - (edit.end - edit.start)
        if edit.end <= start:
            first += grown
        elif edit.start < start:
            first -= start - edit.start
        if edit.end <= end:
            last += grown
        elif edit.start < end:
            last += edit.start + len(edit.text) - end
    return first, last


def _count(findings: list[Finding]) -> Counter[tuple[str, str]]:
    return Counter(_key(finding) for finding in findings)


def _key(finding: Finding) -> tuple[str, str]:
    """What a finding is, wherever it stands: lines move."""
    return finding.code, normal_words(finding.message)


def _problems(document: Document) -> int | None:
    syntax = Syntax.parse(document.text, document.language)
    return None if syntax is None else syntax.problems
