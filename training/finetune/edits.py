"""Edits from a team's history: hunks and cleared findings of its commits, of files that it still tracks."""

from __future__ import annotations

import collections
import datetime
import hashlib
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from diffill.model.secrets import holds_secret, without_secrets

from ..corpus.benchmarks import BenchmarkWindows, words_of
from ..edits import EditPair
from ..edits.change import CutConfig
from ..edits.cleared import cleared_pairs
from ..edits.history import CommittedFile, History
from ..edits.options import EditOptions, Refusals
from ..edits.real_changes import commit_pairs, worth_learning
from ..edits.screen import pair_key, pair_refusal
from .repository import Repository
from .selection import EVALUATED, Selection

LONG_AGO = datetime.date(1970, 1, 1)
MOST_COMMITS = 20_000
"""Of a longer history the newest are read."""
MOST_CHECKED = 5_000
"""Of them, the newest whose files are put to ruff."""
WHOLE_FILE = 1_000_000
"""Characters on each side of a repair that is judged: ruff sees the file."""


@dataclass(kw_only=True)
class Mined:
    """Pairs of one side of the split."""

    pairs: list[EditPair] = field(default_factory=list)
    refused: Refusals = field(default_factory=collections.Counter)
    secrets: list[str] = field(default_factory=list)
    """`PATH@COMMIT` of versions that hold one."""


class TrackedHistory(History):
    """Of files that are tracked today and taken, and of their versions without a secret or another's licence."""

    def __init__(self, repository: Repository, selection: Selection, head: str) -> None:
        super().__init__(repository.path, head, name=repository.name)
        self._tracked, self._selection = repository.tracked(), selection
        self.secrets: list[str] = []
        self._found: dict[bytes, bool] = {}

    def files(self, commit_id: str, refusals: Refusals) -> Iterator[CommittedFile]:
        for file in super().files(commit_id, refusals):
            if str(file.path) not in self._tracked:
                refusals["file no longer tracked"] += 1
            elif not self._selection.takes_edits(str(file.path)):
                refusals["file refused"] += 1
            elif not self._selection.licensed(file.text):
                refusals["licence"] += 1
            elif any(map(self._holds_secret, (file.text, file.text_before()))):
                refusals["secret"] += 1
                self.secrets.append(f"{file.path}@{commit_id[:12]}")
            else:
                yield file

    def _holds_secret(self, text: str) -> bool:
        """Asked once: a version is what one commit leaves and the next one finds. Secrets stand within a line."""
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest not in self._found:
            self._found[digest] = holds_secret(text)
        return self._found[digest]


def learned_edits(
    repository: Repository, selection: Selection, *, since: datetime.date | None, seed: int, measured: BenchmarkWindows
) -> Mined:
    """Pairs of the commits that are trained on: hunks, untouched code among them, and what cleared a finding.

    Args:
        measured: text that measures; pairs that hold much of it are left out.
    """
    history = TrackedHistory(repository, selection, repository.trained_to)
    mined = Mined()
    commits = _newest(history.commits(since or LONG_AGO), mined.refused)
    options = EditOptions(seed=seed)
    made = commit_pairs(history, commits, options, mined.refused, random.Random(options.seed))
    return _mined(history, itertools.chain(_cleared(history, commits, options.cut), made), mined, measured)


def judged_edits(repository: Repository, selection: Selection) -> Mined:
    """Hunks of the later commits, each told by its subject; nothing untouched."""
    history = TrackedHistory(repository, selection, repository.judged_to)
    mined, options = Mined(), EditOptions(no_op_share=0.0, empty_instruction=0.0)
    commits = _later(repository, history, mined.refused)
    return _mined(history, commit_pairs(history, commits, options, mined.refused, random.Random(0)), mined)


def judged_repairs(repository: Repository, selection: Selection) -> list[EditPair]:
    """What cleared a finding in the later commits, with the whole file around it."""
    history = TrackedHistory(repository, selection, repository.judged_to)
    whole = CutConfig(prefix_characters=WHOLE_FILE, suffix_characters=WHOLE_FILE)
    commits = _later(repository, history, collections.Counter())
    return _mined(history, _cleared(history, commits, whole), Mined()).pairs


def judged_lines(repository: Repository, selection: Selection) -> Iterator[tuple[CommittedFile, int, int]]:
    """Runs of lines `[start, end)` that later commits wrote, in the file as it was then."""
    history = TrackedHistory(repository, selection, repository.judged_to)
    for commit in _later(repository, history, collections.Counter()):
        for file in history.files(commit, collections.Counter()):
            for change in worth_learning(file.changes, collections.Counter()):
                if change.end > change.start:
                    yield file, change.start, change.end


def _cleared(history: History, commits: Sequence[str], config: CutConfig) -> Iterator[EditPair]:
    """What is refused is counted where the hunks of the same commits are made."""
    return cleared_pairs(history, commits[:MOST_CHECKED], config, collections.Counter(), random.Random(0))


def _later(repository: Repository, history: History, refused: Refusals) -> list[str]:
    return _newest(history.commits(LONG_AGO, behind=repository.trained_to), refused)


def _newest(commits: list[str], refused: Refusals) -> list[str]:
    if len(commits) > MOST_COMMITS:
        refused["over the limit of commits"] += len(commits) - MOST_COMMITS
    return commits[:MOST_COMMITS]


def _mined(
    history: TrackedHistory, pairs: Iterable[EditPair], mined: Mined, measured: BenchmarkWindows | None = None
) -> Mined:
    """Of pairs that are alike the first is kept."""
    seen: set[bytes] = set()
    for pair in pairs:
        reason = pair_refusal(pair) or ("duplicate" if pair_key(pair) in seen else None)
        if reason is None and measured and measured.contaminate(words_of(pair.prefix + pair.after + pair.suffix)):
            reason = EVALUATED
        if reason is not None:
            mined.refused[f"pair: {reason}"] += 1
            continue
        seen.add(pair_key(pair))
        mined.pairs.append(_masked(pair))
    mined.secrets = sorted(set(history.secrets))
    return mined


def _masked(pair: EditPair) -> EditPair:
    """Passwords that are assigned to a name; what has an issuer's form was refused with its whole file."""
    return msgspec.structs.replace(
        pair,
        **{
            name: without_secrets(getattr(pair, name))
            for name in ("prefix", "before", "after", "suffix", "instruction")
        },
    )
