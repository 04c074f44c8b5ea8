"""A set of repairs to measure with: one fault in a whole file of a held-out repository, JSON lines of edit pairs."""

from __future__ import annotations

import collections
import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ..corpus.archives import read_package
from ..corpus.documents import Document, write_beside
from ..corpus.manifest import Package, read_manifest
from ..corpus.parsing import parses
from ..corpus.quality import refusal_by_text, strip_licence_header
from .change import CutConfig, cut, enclosing_regions, smallest_region
from .injected import CATALOGUES, DiagnosedFault, diagnosed_faults
from .options import EditOptions
from .pair import EditPair
from .screen import file_refusal

WHOLE_FILE = 1_000_000
"""Characters on each side of the region: the tools that judge a repair see the file."""

CHARACTERS_PER_FAULT = 400
"""More are made than are taken, so that rare faults get their share."""


class FaultSetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which repairs are made."""

    out: Path
    """`.jsonl` or `.jsonl.gz`."""
    manifest: Path
    """Held-out packages."""
    archives: Path
    count: int = 600
    left_out: tuple[str, ...] = ("deleted-statement", "deleted-assignment")
    """Faults that nobody could repair from what is left."""
    region_lines: int = 24
    region_characters: int = 1_000
    seed: int = 0


class FaultSetReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the set holds."""

    cases: int
    with_diagnostic: int
    faults: dict[str, int]
    languages: dict[str, int]
    packages: dict[str, int]


def make_fault_set(
    config: FaultSetConfig, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> FaultSetReport:
    """Write `count` repairs, as evenly over the faults as the files allow.

    The region is the largest node of at most `region_lines` lines around the fault, mostly its function, and the
    instruction is what a tool says.

    Raises:
        ValueError: the manifest or an archive cannot be used, or the files yield no fault.
    """
    generator = random.Random(config.seed)
    packages = read_manifest(config.manifest)
    by_fault: dict[str, list[EditPair]] = collections.defaultdict(list)
    for done, package in enumerate(packages, start=1):
        for pair in _pairs(package, config, generator):
            by_fault[pair.label].append(pair)
        on_progress(done, len(packages))
    pairs = list(_evenly(by_fault, config.count, generator))
    if not pairs:
        raise ValueError(f"manifest: {config.manifest} yields no fault")
    lines = b"".join(msgspec.json.encode(msgspec.structs.asdict(pair)) + b"\n" for pair in pairs)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_beside(config.out, gzip.compress(lines, mtime=0) if config.out.suffix == ".gz" else lines)
    return FaultSetReport(
        cases=len(pairs),
        with_diagnostic=sum(bool(pair.instruction) for pair in pairs),
        faults=_counted(pair.label for pair in pairs),
        languages=_counted(pair.language for pair in pairs),
        packages=_counted(pair.source.partition(":")[0] for pair in pairs),
    )


def _pairs(package: Package, config: FaultSetConfig, generator: random.Random) -> Iterator[EditPair]:
    limits = CutConfig(
        region_lines=config.region_lines,
        region_characters=config.region_characters,
        prefix_characters=WHOLE_FILE,
        suffix_characters=WHOLE_FILE,
    )
    options = EditOptions(cut=limits, characters_per_fault=CHARACTERS_PER_FAULT, compiler_share=0, pyflakes_share=0)
    documents = [
        Document(
            text=text,
            language=source.language,
            path=str(source.path),
            package=package.label,
            licence=package.licence,
        )
        for source in read_package(config.archives, package).sources
        if source.language in CATALOGUES
        and file_refusal(source) is None
        and refusal_by_text(text := strip_licence_header(source.text)) is None
        and parses(text, source.language)
    ]
    for diagnosed in diagnosed_faults(documents, options, generator):
        pair = repair_of_fault(diagnosed, limits, generator)
        if pair is not None and pair.label not in config.left_out:
            yield pair


def repair_of_fault(diagnosed: DiagnosedFault, limits: CutConfig, generator: random.Random) -> EditPair | None:
    """The region around a fault, mostly its function; None when it is over the limits."""
    document, repair = diagnosed.file.document, diagnosed.fault.repair
    region = smallest_region(repair, generator)
    around = enclosing_regions(repair, region, limits, diagnosed.file.tree)
    return cut(
        repair,
        around[-1] if around else region,
        limits,
        instruction=diagnosed.diagnostic,
        language=document.language,
        kind="fault",
        source=f"{document.package}:{document.path}",
        label=diagnosed.fault.name,
    )


def _evenly(by_fault: dict[str, list[EditPair]], count: int, generator: random.Random) -> Iterator[EditPair]:
    """One of each fault in turn, until there are enough or none is left."""
    for pairs in by_fault.values():
        generator.shuffle(pairs)
    while count and by_fault:
        for name in sorted(by_fault):
            if not count:
                return
            yield by_fault[name].pop()
            count -= 1
            if not by_fault[name]:
                del by_fault[name]


def _counted(names: Iterator[str]) -> dict[str, int]:
    return dict(collections.Counter(names).most_common())
