"""Archives to a corpus: candidates of every package on all cores, then duplicates out in one order, shards, report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ..languages import LANGUAGE_NAMES
from .documents import (
    Document,
    DocumentShard,
    ShardIndex,
    TokenShardEntry,
    write_beside,
    write_documents,
    write_index,
)
from .duplicates import Duplicates
from .gate import GateConfig, Job, make_candidates, read_candidates
from .licences import LicenceGate
from .manifest import Package, read_manifest
from .report import REPORT_FILE, RefusedPackage, Report
from .tokens import read_tokens, tokenize_shards
from .workers import Pool, Progress, run_all, worker_pool

CANDIDATES = "candidates"


class CorpusConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is built, of what, and where to."""

    manifests: tuple[Path, ...]
    """In order: of two equal documents the first stays."""
    archives: Path
    out: Path
    tokenizer: Path | None = None
    """A checkpoint directory; without one there are documents and no token shards."""
    benchmark_windows: Path | None = None
    """Hashes of benchmark text that must stay out; see `benchmarks`."""
    gate: GateConfig = GateConfig()
    processes: int | None = None
    """All cores when not given."""


def build(config: CorpusConfig, *, on_progress: Progress = lambda stage, done, total: None) -> Report:
    """Make or extend the corpus in `config.out`; returns the report that is also written there.

    Every package's candidates are kept, every shard is named by its content and the index is written last: an
    interrupted run resumes, and a corpus that was there stays readable until the new one is whole.

    Raises:
        ValueError: a manifest names a licence that is not on the list, or an archive is missing or unreadable.
    """
    packages = read_manifests(config)
    report = Report(packages=len(packages), manifest_sha256=_digest_of(config.manifests))
    with worker_pool(config.processes) as pool:
        jobs = _jobs(config, packages)
        run_all(pool, make_candidates, jobs, "filter", on_progress)
        documents = _distinct(jobs, report, on_progress)
        shards = list(write_documents(config.out, documents))
        if not shards:
            raise ValueError("manifests: they yield no document")
        tokens = _tokenize(pool, config, shards, on_progress)
    write_index(config.out, ShardIndex(documents=shards, tokens=tokens))
    _delete_stale(config.out, {shard.file for shard in shards} | {entry.file for entry in tokens})
    report.tokens = _count_tokens(config.out) if tokens else {}
    write_beside(config.out / REPORT_FILE, msgspec.json.format(msgspec.json.encode(report.to_json()), indent=2) + b"\n")
    return report


def read_manifests(config: CorpusConfig) -> list[Package]:
    """Every package once.

    Raises:
        ValueError: unreadable, or a licence that is not on the list.
    """
    gate = LicenceGate(config.gate.licences)
    packages: dict[tuple[str, str], Package] = {}
    for path in config.manifests:
        for package in read_manifest(path):
            if not gate.accepts(package.licence):
                raise ValueError(f"manifest: {path}: {package.label}: licence {package.licence!r} is not on the list")
            packages.setdefault((package.kind, package.name), package)
    return list(packages.values())


def _jobs(config: CorpusConfig, packages: Sequence[Package]) -> list[Job]:
    directory = config.out / CANDIDATES
    directory.mkdir(parents=True, exist_ok=True)
    windows = config.benchmark_windows
    return [
        Job(
            package=package,
            archives=config.archives,
            benchmark_windows=windows,
            benchmark_sha256=_digest_of([windows]) if windows else "",
            config=config.gate,
            directory=directory,
        )
        for package in packages
    ]


def _distinct(jobs: Sequence[Job], report: Report, on_progress: Progress) -> Iterator[Document]:
    """The candidates of every package in order, less those that an earlier one resembles."""
    seen = Duplicates()
    for done, job in enumerate(jobs, start=1):
        package = read_candidates(job.path)
        if package.refusal is not None:
            report.refused_packages.append(RefusedPackage(package=job.package.label, reason=package.refusal))
        report.merge_refused(package.refused)
        for candidate in package.candidates:
            document = candidate.document
            reason = seen.refusal(candidate.digest, candidate.signature)
            if reason is not None:
                report.refuse(document.language, reason, len(document.text))
                continue
            report.keep(document.language, document.licence, len(document.text))
            yield document
        on_progress("deduplicate", done, len(jobs))


def _tokenize(
    pool: Pool, config: CorpusConfig, shards: Sequence[DocumentShard], on_progress: Progress
) -> list[TokenShardEntry]:
    if config.tokenizer is None:
        return []
    return tokenize_shards(pool, config.out, shards, config.tokenizer, on_progress)


def _count_tokens(directory: Path) -> dict[str, int]:
    counts = np.zeros(len(LANGUAGE_NAMES), dtype=np.int64)
    for shard in read_tokens(directory):
        np.add.at(counts, shard.languages, np.diff(shard.offsets))
    return {name: int(count) for name, count in zip(LANGUAGE_NAMES, counts, strict=True) if count}


def _delete_stale(directory: Path, current: set[str]) -> None:
    """Shards of an earlier build that the index no longer names."""
    for pattern in ("documents-*.jsonl.zst", "tokens-*.safetensors"):
        for path in directory.glob(pattern):
            if path.name not in current:
                path.unlink()


def _digest_of(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise ValueError(f"config: cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()
