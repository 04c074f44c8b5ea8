"""Archives to packed rows: the whole way from package files to what the trainer reads, on all cores."""

from __future__ import annotations

import collections
import hashlib
import json
import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from diffill.model.tokenizer import Tokenizer

from .examples import ExampleConfig, examples_of
from .filters import Filter, strip_licence_header
from .packing import load_rows, pack, save_rows
from .sources import Archive, SourceFile, read_archive, read_manifest

REPORT_FILE = "report.json"
FILES_PER_SHARD = 400


class PrepareConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is packed, and how."""

    manifest: Path
    archives: Path
    tokenizer: Path
    """A checkpoint directory."""
    out: Path
    row_length: int = 512
    epochs: int = 1
    """Each epoch cuts other holes into the same files."""
    held_out: tuple[str, ...] = ()
    """Archives (prefixes of file names) whose rows only measure."""
    package_cap: int = 2_000_000
    """At most this many characters of one archive are used."""
    benchmark_windows: Path | None = None
    examples: ExampleConfig = ExampleConfig()
    seed: int = 0


def prepare(
    config: PrepareConfig, *, on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None
) -> dict[str, object]:
    """Filter, cut, tokenise and pack; returns the report that is also written beside the rows.

    Rows are written shard by shard; a shard that is already there is kept, so an interrupted run resumes.
    """
    archives = read_manifest(config.manifest)
    train: list[SourceFile] = []
    measured: list[SourceFile] = []
    refusals: collections.Counter[str] = collections.Counter()
    gate = Filter(config.benchmark_windows)
    for done, archive in enumerate(archives, start=1):
        kept = list(_accepted(config, archive, gate, refusals))
        (measured if archive.file.startswith(config.held_out) and config.held_out else train).extend(kept)
        on_progress("read", done, len(archives))
    if not train:
        raise ValueError(f"manifest: {config.manifest} yields no file to train on")
    random.Random(config.seed).shuffle(train)

    jobs = [
        (config, f"train-{epoch:02d}-{index:03d}", train[at : at + FILES_PER_SHARD], config.seed + 1000 * epoch + index)
        for epoch in range(config.epochs)
        for index, at in enumerate(range(0, len(train), FILES_PER_SHARD))
    ]
    jobs += [(config, "held-out", measured, config.seed)] if measured else []
    context = multiprocessing.get_context("spawn")  # fork and the tokenizer's threads do not mix
    tokens = 0
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=context) as pool:
        for done, count in enumerate(pool.map(_pack_shard, jobs), start=1):
            tokens += count
            on_progress("pack", done, len(jobs))
    report: dict[str, object] = {
        "manifest_sha256": hashlib.sha256(config.manifest.read_bytes()).hexdigest(),
        "files": len(train),
        "characters": sum(len(source.text) for source in train),
        "held_out_files": len(measured),
        "tokens": tokens,
        "languages": dict(collections.Counter(source.language for source in train)),
        "refused": dict(refusals.most_common()),
    }
    (config.out / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return report


def _accepted(
    config: PrepareConfig, archive: Archive, gate: Filter, refusals: collections.Counter[str]
) -> Iterator[SourceFile]:
    sources = list(read_archive(config.archives, archive))
    # By a hash of the path, so that a capped package is sampled evenly and always the same way.
    sources.sort(key=lambda source: hashlib.blake2b(str(source.path).encode()).digest())
    used = 0
    for source in sources:
        reason = "over the package's cap" if used > config.package_cap else gate.refusal(source)
        if reason:
            refusals[reason] += 1
            continue
        text = strip_licence_header(source.text)
        used += len(text)
        yield SourceFile(archive=source.archive, path=source.path, language=source.language, text=text)


def _pack_shard(job: tuple[PrepareConfig, str, list[SourceFile], int]) -> int:
    """Write one shard of rows; returns its tokens."""
    config, name, sources, seed = job
    path = config.out / name
    if not path.exists():
        generator = random.Random(seed)
        tokenizer = Tokenizer.load(config.tokenizer)
        examples = [
            example for source in sources for example in examples_of(source, tokenizer, config.examples, generator)
        ]
        generator.shuffle(examples)
        save_rows(path, pack(examples, config.row_length))
    rows = load_rows(path)
    return int((rows.document >= 0).sum())
