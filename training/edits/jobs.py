"""The pieces of a build: each makes the pairs of one slice of one source, alone, from its own seed."""

from __future__ import annotations

import datetime
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..corpus.documents import DocumentShard, decode_documents, read_shard
from ..corpus.manifest import Package
from .history import pinned_history
from .injected import CATALOGUES, injected_pairs
from .options import EditOptions, Refusals
from .pair import EditPair
from .real_changes import commit_pairs, release_pairs
from .releases import Releases


class HistoryJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Every `slices`-th commit of a history, from `index` on, after shuffling."""

    package: Package
    since: datetime.date
    index: int
    slices: int
    most: int
    """Pairs at most."""

    @property
    def name(self) -> str:
        return f"commits-{self.package.name.replace('/', '+')}-{self.index:03d}"


class ReleaseJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Two releases of one package."""

    releases: Releases
    most: int
    """Pairs at most."""

    @property
    def name(self) -> str:
        newer = self.releases.newer
        return f"releases-{newer.name.replace('/', '+')}-{newer.version}"


class FaultJob(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The documents of one shard of the corpus, in random order."""

    shard: DocumentShard
    held_out: tuple[str, ...]
    """Packages whose documents are left out."""
    most: int
    """Pairs at most."""

    @property
    def name(self) -> str:
        return f"faults-{self.shard.file.partition('.')[0]}"


Job = HistoryJob | ReleaseJob | FaultJob


def pairs_of(job: Job, archives: Path, corpus: Path, options: EditOptions, refusals: Refusals) -> Iterator[EditPair]:
    """The pairs of one job; what is refused is counted.

    Raises:
        ValueError: the source is missing or is not the pinned one.
    """
    generator = random.Random(f"{options.seed} {job.name}")
    if isinstance(job, HistoryJob):
        history = pinned_history(archives, job.package)
        commits = history.commits(job.since)
        random.Random(options.seed).shuffle(commits)
        pairs = commit_pairs(history, commits[job.index :: job.slices], options, refusals, generator)
        return itertools.islice(pairs, job.most)
    if isinstance(job, ReleaseJob):
        return itertools.islice(release_pairs(archives, job.releases, options, refusals, generator), job.most)
    documents = [
        document
        for document in decode_documents(read_shard(corpus, job.shard))
        if document.language in CATALOGUES and document.package.split()[0].lower() not in job.held_out
    ]
    generator.shuffle(documents)
    return itertools.islice(injected_pairs(documents, options, generator), job.most)
