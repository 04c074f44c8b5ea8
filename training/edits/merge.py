"""Parts to shards: one pass that drops duplicates, counts, and deals the pairs out at random."""

from __future__ import annotations

import collections
import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ..corpus.documents import write_beside
from .options import Refusals
from .pair import EditPair
from .screen import pair_key
from .shards import INDEX_FILE, Shard, read_shard, write_encoded, write_index

REPORT_FILE = "report.json"
PARTS = "parts"
REPORTED = ("kinds", "languages", "faults", "no_ops", "instructed", "sources")


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one job left behind: its pairs, and from what they were made."""

    origin: str
    """Hash of the job and the options; another one means that the pairs are made anew."""
    shard: Shard
    refused: dict[str, int]


class BuildReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the pairs that were kept, and of what was refused."""

    pairs: int
    kinds: dict[str, int]
    languages: dict[str, int]
    faults: dict[str, int]
    no_ops: dict[str, int]
    instructed: dict[str, int]
    """Pairs with an instruction, by kind."""
    sources: dict[str, int]
    refused: dict[str, int]


def merge(directory: Path, parts: Sequence[Part], *, pairs_per_shard: int, seed: int) -> BuildReport:
    """Pairs go to shards at random, by way of one file for each, so that memory holds one shard at a time."""
    generator = random.Random(seed)
    count = max(1, round(sum(part.shard.pairs for part in parts) / pairs_per_shard))
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    refused: Refusals = collections.Counter()
    (directory / INDEX_FILE).unlink(missing_ok=True)
    buckets = directory / ".buckets"
    shutil.rmtree(buckets, ignore_errors=True)
    buckets.mkdir(parents=True)
    streams = [(buckets / str(number)).open("wb") for number in range(count)]
    try:
        for pair in _distinct(directory, parts, refused):
            _count(pair, counts)
            data = msgspec.msgpack.encode(pair)
            generator.choice(streams).write(len(data).to_bytes(4, "little") + data)
    finally:
        for stream in streams:
            stream.close()
    shards = []
    for number in range(count):
        encoded = list(_records((buckets / str(number)).read_bytes()))
        generator.shuffle(encoded)
        shards.append(write_encoded(directory / f"pairs-{number:03d}.zst", encoded))
    shutil.rmtree(buckets)
    report = BuildReport(
        pairs=sum(shard.pairs for shard in shards),
        refused=dict(refused.most_common()),
        **{name: dict(counts[name].most_common()) for name in REPORTED},
    )
    write_beside(directory / REPORT_FILE, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    write_index(directory, shards)
    return report


def _distinct(directory: Path, parts: Sequence[Part], refused: Refusals) -> Iterator[EditPair]:
    seen: set[bytes] = set()
    for part in parts:
        refused.update(part.refused)
        for pair in read_shard(directory / PARTS / part.shard.file, part.shard.sha256):
            key = pair_key(pair)
            if key in seen:
                refused["pair: duplicate"] += 1
            else:
                seen.add(key)
                yield pair


def _count(pair: EditPair, counts: dict[str, collections.Counter[str]]) -> None:
    counts["kinds"][pair.kind] += 1
    counts["languages"][pair.language] += 1
    counts["sources"][pair.source.split("@", 1)[0].split(":", 1)[0]] += 1
    if pair.kind == "fault":
        counts["faults"][pair.label] += 1
    if pair.kind == "no-op":
        counts["no_ops"][pair.label] += 1
    if pair.instruction:
        counts["instructed"][pair.kind] += 1


def _records(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size
