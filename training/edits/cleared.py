"""Pairs of findings that a commit cleared: what ruff said of the parent's file, and the change that silenced it.

Each change is looked at alone, with the commit's other changes made already, so that a finding belongs to the lines
that cleared it. It also has to stand in the parent's file: what only a half-made commit would have, nobody has seen.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..corpus.archives import SourceFile
from ..diagnostics import Diagnostic, news, ruff
from .change import Change, CutConfig, cut, widened
from .history import CommittedFile, History
from .options import Refusals
from .pair import EditPair
from .real_changes import accepted_tree, worth_learning

FILES_PER_RUFF = 32


@dataclass(frozen=True, kw_only=True)
class ClearedFinding:
    """A change of a file, and what ruff no longer says since."""

    file: CommittedFile
    change: Change
    finding: str
    """`CODE message`."""


def cleared_pairs(
    history: History, commits: Sequence[str], config: CutConfig, refusals: Refusals, generator: random.Random
) -> Iterator[EditPair]:
    """One pair for each change that cleared a finding, with the finding as its instruction. Python only.

    Raises:
        ValueError: ruff does not answer.
    """
    for cleared in cleared_findings(history, commits, refusals):
        file = cleared.file
        source = SourceFile(path=file.path, language=file.language, text=file.text)
        tree = accepted_tree(source, refusals)
        if tree is None:
            continue
        pair = cut(
            cleared.change,
            widened(cleared.change, config, generator, tree),
            config,
            instruction=cleared.finding,
            language=file.language,
            kind="cleared",
            source=f"{history.name}@{file.commit[:12]}:{file.path}",
            label=cleared.finding.partition(" ")[0],
        )
        if pair is not None:
            yield pair


def cleared_findings(history: History, commits: Sequence[str], refusals: Refusals) -> Iterator[ClearedFinding]:
    """Of the commits in their order; one run of ruff for some files at a time."""
    files = (
        (file, changes)
        for commit in commits
        for file in history.files(commit, refusals)
        if file.language == "python" and (changes := worth_learning(file.changes, refusals))
    )
    while some := list(itertools.islice(files, FILES_PER_RUFF)):
        said = iter(ruff([text for file, changes in some for text in _texts(file, changes)]))
        for file, changes in some:
            after, before = next(said), {finding.text for finding in next(said)}
            for change in changes:
                finding = _cleared(next(said), after, before, change)
                if finding:
                    yield ClearedFinding(file=file, change=change, finding=finding)


def _texts(file: CommittedFile, changes: Sequence[Change]) -> Iterator[str]:
    """The file after the commit, before it, and with each change alone taken back."""
    yield file.text
    yield file.text_before()
    for change in changes:
        yield change.document_before()


def _cleared(alone: Sequence[Diagnostic], after: Sequence[Diagnostic], before: set[str], change: Change) -> str:
    return news(after, [finding for finding in alone if finding.text in before], change.start + 1)
