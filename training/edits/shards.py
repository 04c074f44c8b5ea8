"""Pairs on disk: zstd-compressed MessagePack, listed with their sums in one index that is written last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import zstandard

from ..corpus.documents import write_beside
from .pair import EditPair

INDEX_FILE = "pairs.json"
COMPRESSION_LEVEL = 9


class Shard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the index."""

    file: str
    sha256: str
    pairs: int


class Index(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All files of a finished build. Its presence says that the build is complete."""

    shards: list[Shard]


def write_shard(path: Path, pairs: Sequence[EditPair]) -> Shard:
    """Written beside and renamed."""
    return write_encoded(path, [msgspec.msgpack.encode(pair) for pair in pairs])


def write_encoded(path: Path, pairs: Sequence[bytes]) -> Shard:
    """As `write_shard`, of pairs that are MessagePack already."""
    packed = msgspec.msgpack.encode([msgspec.Raw(pair) for pair in pairs])
    data = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(packed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_beside(path, data)
    return Shard(file=path.name, sha256=hashlib.sha256(data).hexdigest(), pairs=len(pairs))


def write_index(directory: Path, shards: Sequence[Shard]) -> None:
    write_beside(directory / INDEX_FILE, msgspec.json.format(msgspec.json.encode(Index(shards=list(shards)))) + b"\n")


def read_shard(path: Path, sha256: str) -> list[EditPair]:
    """Raises ValueError when the file is missing, is not the listed one, or holds something else."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError("its sha256 differs from the index")
        return msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data), type=list[EditPair])
    except OSError as error:
        raise ValueError(f"pairs: cannot read {path}: {error.strerror}") from None
    except (ValueError, msgspec.MsgspecError, zstandard.ZstdError) as error:
        raise ValueError(f"pairs: {path}: {error}") from None


def read_index(directory: Path) -> Index:
    """The shards of a finished build; their pairs were shuffled when they were built.

    Raises:
        ValueError: the index is missing or broken.
    """
    path = directory / INDEX_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Index)
    except OSError as error:
        raise ValueError(f"pairs: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"pairs: {path}: {error}") from None


def read_pairs(directory: Path) -> Iterator[EditPair]:
    """Every pair of a finished build, shard by shard.

    Raises:
        ValueError: the index is missing or broken, or a shard is not the listed one.
    """
    for shard in read_index(directory).shards:
        yield from read_shard(directory / shard.file, shard.sha256)
