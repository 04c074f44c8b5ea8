"""Edits from a team's history: hunks of its commits, as the corpus makes them, of files that it still tracks."""

from __future__ import annotations

import collections
import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from diffill.model.secrets import holds_secret, without_secrets

from ..edits import EditPair
from ..edits.history import CommittedFile, History
from ..edits.options import EditOptions, Refusals
from ..edits.real_changes import commit_pairs, worth_learning
from ..edits.screen import pair_key, pair_refusal
from .repository import Repository

LONG_AGO = datetime.date(1970, 1, 1)


@dataclass(kw_only=True)
class Mined:
    """Pairs of one side of the split."""

    pairs: list[EditPair] = field(default_factory=list)
    refused: Refusals = field(default_factory=collections.Counter)
    secrets: list[str] = field(default_factory=list)
    """`PATH@COMMIT` of versions that hold one."""


class TrackedHistory(History):
    """Of files that are tracked today, and of their versions without a secret."""

    def __init__(self, path: Path, head: str, *, name: str, tracked: frozenset[str]) -> None:
        super().__init__(path, head, name=name)
        self._tracked = tracked
        self.secrets: list[str] = []

    def files(self, commit_id: str, refusals: Refusals) -> Iterator[CommittedFile]:
        for file in super().files(commit_id, refusals):
            if str(file.path) not in self._tracked:
                refusals["file no longer tracked"] += 1
            elif any(map(holds_secret, (file.text, *(change.document_before() for change in file.changes)))):
                refusals["secret"] += 1
                self.secrets.append(f"{file.path}@{commit_id[:12]}")
            else:
                yield file


def learned_edits(repository: Repository, *, since: datetime.date | None, seed: int) -> Mined:
    """Pairs of the commits that are trained on, untouched code among them."""
    return _mined(repository, repository.trained_to, None, since, EditOptions(seed=seed))


def judged_edits(repository: Repository) -> Mined:
    """Pairs of the later commits, each change told by its subject; nothing untouched."""
    options = EditOptions(no_op_share=0.0, empty_instruction=0.0)
    return _mined(repository, repository.judged_to, repository.trained_to, None, options)


def judged_lines(repository: Repository) -> Iterator[tuple[CommittedFile, int, int]]:
    """Runs of lines `[start, end)` that later commits wrote, in the file as it was then."""
    history = _history(repository, repository.judged_to)
    for commit in history.commits(LONG_AGO, behind=repository.trained_to):
        for file in history.files(commit, collections.Counter()):
            for change in worth_learning(file.changes, collections.Counter()):
                if change.end > change.start:
                    yield file, change.start, change.end


def _mined(
    repository: Repository, head: str, behind: str | None, since: datetime.date | None, options: EditOptions
) -> Mined:
    history = _history(repository, head)
    mined = Mined()
    seen: set[bytes] = set()
    commits = history.commits(since or LONG_AGO, behind=behind)
    for pair in commit_pairs(history, commits, options, mined.refused, random.Random(options.seed)):
        if reason := pair_refusal(pair) or ("duplicate" if pair_key(pair) in seen else None):
            mined.refused[f"pair: {reason}"] += 1
            continue
        seen.add(pair_key(pair))
        mined.pairs.append(_masked(pair))
    mined.secrets = sorted(set(history.secrets))
    return mined


def _history(repository: Repository, head: str) -> TrackedHistory:
    return TrackedHistory(repository.path, head, name=repository.name, tracked=repository.tracked())


def _masked(pair: EditPair) -> EditPair:
    """Passwords that are assigned to a name; what has an issuer's form was refused with its whole file."""
    return msgspec.structs.replace(
        pair,
        **{
            name: without_secrets(getattr(pair, name))
            for name in ("prefix", "before", "after", "suffix", "instruction")
        },
    )
