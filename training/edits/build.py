"""Sources to shards of pairs: jobs on all cores, then one pass that drops duplicates and shuffles."""

from __future__ import annotations

import collections
import datetime
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..corpus.archives import read_metadata
from ..corpus.declared import refusal_by_licence
from ..corpus.documents import read_index, write_beside
from ..corpus.licences import LicenceGate
from ..corpus.manifest import Package, read_manifest
from ..corpus.quality import HELD_OUT_PACKAGES
from ..corpus.workers import run_all, worker_pool
from .jobs import FaultJob, HistoryJob, Job, ReleaseJob, pairs_of
from .merge import PARTS, BuildReport, Part, merge
from .options import EditOptions, Refusals
from .pair import EditPair
from .releases import read_releases
from .screen import PairScreen, pair_key
from .shards import write_shard

PAIRS_PER_JOB = 1_500


class BuildConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the pairs are made from."""

    out: Path
    archives: Path
    """Where `diffill corpus fetch` keeps archives and clones."""
    histories: Path | None = None
    """A manifest of packages of the kind `git`, each pinned to the newest commit that is read."""
    since: datetime.date = datetime.date(2014, 1, 1)
    """Older commits are often for a Python that no longer parses."""
    pairs_per_history: int = 4_500
    releases: Path | None = None
    """Pairs of pinned packages, the older and the newer."""
    pairs_per_release: int = 6_000
    corpus: Path | None = None
    """A built corpus, whose documents get faults."""
    faults: int = 120_000
    """Pairs made from the corpus, no-ops among them."""
    held_out: tuple[str, ...] = ()
    """Names of packages that only measure, besides those that the corpus itself keeps out."""
    benchmark_windows: Path | None = None
    pairs_per_shard: int = 10_000
    processes: int | None = None
    """All cores when not given."""
    options: EditOptions = EditOptions()


def build(config: BuildConfig, *, on_progress: Callable[[int, int], None] = lambda done, total: None) -> BuildReport:
    """Make, screen, merge; returns the report that is also written beside the shards.

    Every job's part is kept, so that an interrupted or extended build makes only what is missing.

    Raises:
        ValueError: a held-out source is listed, or a source is missing or not the pinned one.
    """
    jobs = plan(config)
    with worker_pool(config.processes) as pool:
        work = functools.partial(run_job, config=config)
        parts = run_all(pool, work, jobs, "pairs", lambda stage, done, total: on_progress(done, total))
    if not any(part.shard.pairs for part in parts):
        raise ValueError("edits: the histories, releases and corpus yield no pair")
    return merge(config.out, parts, pairs_per_shard=config.pairs_per_shard, seed=config.options.seed)


def plan(config: BuildConfig) -> list[Job]:
    """The jobs of a build.

    Raises:
        ValueError: a manifest is unreadable, or names a held-out package or one whose own files do not say that it is
            under the manifest's licence, or say one that is not on the list.
    """
    jobs: list[Job] = []
    slices = -(-config.pairs_per_history // PAIRS_PER_JOB)
    for package in [] if config.histories is None else read_manifest(config.histories):
        _check(package, config)
        jobs += [
            HistoryJob(
                package=package,
                since=config.since,
                index=index,
                slices=slices,
                most=-(-config.pairs_per_history // slices),
            )
            for index in range(slices)
        ]
    for releases in [] if config.releases is None else read_releases(config.releases):
        _check(releases.older, config)
        _check(releases.newer, config)
        jobs.append(ReleaseJob(releases=releases, most=config.pairs_per_release))
    shards = [] if config.corpus is None else read_index(config.corpus).documents
    jobs += [FaultJob(shard=shard, held_out=config.held_out, most=-(-config.faults // len(shards))) for shard in shards]
    return jobs


def run_job(job: Job, config: BuildConfig) -> Part:
    """Write one part, unless it is there already."""
    origin = _origin(job, config)
    path = config.out / PARTS / f"{job.name}.zst"
    note = path.with_suffix(".json")
    if (part := _finished(path, note, origin)) is not None:
        return part
    refusals: Refusals = collections.Counter()
    screen = PairScreen(config.benchmark_windows)
    kept: list[EditPair] = []
    seen: set[bytes] = set()
    for pair in pairs_of(job, config.archives, config.corpus or Path(), config.options, refusals):
        key = pair_key(pair)
        reason = "duplicate" if key in seen else screen.refusal(pair)
        seen.add(key)
        if reason is not None:
            refusals[f"pair: {reason}"] += 1
        else:
            kept.append(pair)
    part = Part(origin=origin, shard=write_shard(path, kept), refused=dict(refusals))
    write_beside(note, msgspec.json.encode(part))
    return part


def _finished(path: Path, note: Path, origin: str) -> Part | None:
    try:
        part = msgspec.json.decode(note.read_bytes(), type=Part)
        same = part.origin == origin and hashlib.sha256(path.read_bytes()).hexdigest() == part.shard.sha256
    except (OSError, msgspec.MsgspecError):
        return None
    return part if same else None


def _origin(job: Job, config: BuildConfig) -> str:
    windows = b"" if config.benchmark_windows is None else config.benchmark_windows.read_bytes()
    made_from = msgspec.json.encode((job, config.options), enc_hook=str)
    return hashlib.sha256(made_from + hashlib.sha256(windows).digest()).hexdigest()


def _check(package: Package, config: BuildConfig) -> None:
    name = package.name.lower().rpartition("/")[2]
    if name in HELD_OUT_PACKAGES or name in config.held_out:
        raise ValueError(f"edits: {package.name} is held out and must not be a source")
    refusal = refusal_by_licence(read_metadata(config.archives, package), package.licence, LicenceGate())
    if refusal is not None:
        raise ValueError(f"edits: {package.label}: {refusal}")
