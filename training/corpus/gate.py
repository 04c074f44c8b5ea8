"""One package to its candidates: every look that needs no other package, in the order of what it costs."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import msgspec
import zstandard

from diffill.model.secrets import holds_secret

from .archives import Contents, SourceFile, read_package
from .benchmarks import BenchmarkWindows, words_of
from .declared import file_licences, refusal_by_licence
from .documents import Document, write_beside
from .duplicates import exact_digest, signature
from .licences import ACCEPTED, LicenceGate
from .manifest import Package
from .parsing import parses
from .quality import (
    HELD_OUT_PACKAGES,
    imports_held_out,
    is_test,
    refusal_by_path,
    refusal_by_text,
    strip_licence_header,
)
from .report import Tally

RULES = 2
"""Raised with every change of the rules below: candidates made before are then made again."""


class GateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken of one package."""

    package_cap: int = 12_000_000
    """At most this many characters of one package, so that the largest do not set the style."""
    test_share: float = 0.2
    """At most this share of a package's characters is tests."""
    licences: tuple[str, ...] = ACCEPTED
    """SPDX identifiers."""

    def __post_init__(self) -> None:
        if self.package_cap < 1:
            raise ValueError("package_cap must be at least 1")
        if not 0 <= self.test_share < 1:
            raise ValueError("test_share must be at least 0 and below 1")


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted document, and what tells it from others."""

    document: Document
    digest: bytes
    signature: bytes


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """What one package yields."""

    candidates: list[Candidate]
    refused: dict[str, dict[str, Tally]]
    """By language, then reason."""
    refusal: str | None
    """Why nothing of the package was taken."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One package to look at, for a process of its own."""

    package: Package
    archives: Path
    benchmark_windows: Path | None
    benchmark_sha256: str
    config: GateConfig
    directory: Path
    """Where candidates are kept."""

    @property
    def path(self) -> Path:
        """Named by all that decides its content: a second run finds what the first one left."""
        decides = msgspec.json.encode((RULES, self.package, self.benchmark_sha256, self.config))
        name = self.package.name.replace("/", "+")
        return self.directory / f"{name}-{hashlib.sha256(decides).hexdigest()[:16]}.zst"


def read_candidates(path: Path) -> Candidates:
    return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(path.read_bytes()), type=Candidates)


def make_candidates(job: Job) -> Path:
    """Look at one package, unless an earlier run did; returns the file of its candidates.

    Raises:
        ValueError: an archive is missing, unreadable or not the pinned one.
    """
    if not job.path.exists():
        candidates = candidates_of(job.package, read_package(job.archives, job.package), job)
        write_beside(job.path, zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(candidates)))
    return job.path


def candidates_of(package: Package, contents: Contents, job: Job) -> Candidates:
    """Every source file is kept or counted under one reason."""
    gate = LicenceGate(job.config.licences)
    refusal = _package_refusal(package, contents, gate)
    if refusal is not None:
        return Candidates(candidates=[], refused={}, refusal=refusal)
    licence_of = file_licences(contents.metadata, package.licence)
    windows = _benchmark_windows(job.benchmark_windows)
    kept: list[Candidate] = []
    refused: dict[str, dict[str, Tally]] = {}
    budget = _Budget(job.config)
    for source in sorted(contents.sources, key=_sampling_order):
        licence = licence_of(source.path)
        text = strip_licence_header(source.text)
        reason = (
            budget.refusal(source, len(text))
            or refusal_by_path(source)
            or ("licence" if not gate.accepts(licence) or not gate.accepts_file(source.text) else None)
            or refusal_by_text(text)
            or _costly_refusal(text, source.language)
            or ("benchmark text" if windows.contaminate(words := words_of(text)) else None)
        )
        if reason is not None:
            refused.setdefault(source.language, {}).setdefault(reason, Tally()).add(len(text))
            continue
        budget.spend(source, len(text))
        document = Document(
            text=text, language=source.language, path=str(source.path), package=package.label, licence=licence
        )
        kept.append(Candidate(document=document, digest=exact_digest(text), signature=signature(words)))
    kept.sort(key=lambda candidate: candidate.document.path)
    return Candidates(candidates=kept, refused=refused, refusal=None)


class _Budget:
    """How much of a package is still wanted."""

    def __init__(self, config: GateConfig) -> None:
        self._cap = config.package_cap
        self._tests_per_other = config.test_share / (1 - config.test_share)
        self._tests = self._others = 0

    def refusal(self, source: SourceFile, size: int) -> str | None:
        if self._tests + self._others + size > self._cap:
            return "over the package's cap"
        if is_test(source.path) and self._tests + size > self._tests_per_other * self._others:
            return "tests"
        return None

    def spend(self, source: SourceFile, size: int) -> None:
        if is_test(source.path):
            self._tests += size
        else:
            self._others += size


def _sampling_order(source: SourceFile) -> tuple[bool, bytes]:
    """Tests last, so that their share is known; else by a hash of the path, so that a cap samples evenly."""
    return is_test(source.path), hashlib.blake2b(str(source.path).encode("utf-8", "replace")).digest()


def _package_refusal(package: Package, contents: Contents, gate: LicenceGate) -> str | None:
    if package.name.lower().split("/")[-1] in HELD_OUT_PACKAGES:
        return "held out"
    return refusal_by_licence(contents.metadata, package.licence, gate)


def _costly_refusal(text: str, language: str) -> str | None:
    if imports_held_out(text):
        return "imports a held-out package"
    if holds_secret(text):
        return "secret"
    if not parses(text, language):
        return "does not parse"
    return None


@cache
def _benchmark_windows(path: Path | None) -> BenchmarkWindows:
    return BenchmarkWindows(path)
