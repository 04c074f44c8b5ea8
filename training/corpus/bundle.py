"""A corpus as a few strongly compressed pieces, to be carried to another machine and made into shards again there.

A piece is zstd frames behind one another; a frame holds the documents of several shards. Frames are made and read on
all cores. Token shards stay behind: to tokenise again is faster than to carry them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import zstandard

from .documents import (
    DocumentShard,
    ShardIndex,
    check_lines,
    read_index,
    read_shard,
    write_beside,
    write_index,
    write_shard,
)
from .tokens import tokenize_shards
from .workers import Progress, run_all, worker_pool

BUNDLE_FILE = "bundle.json"
LEVEL = 19
"""zstd. Level 12 makes it a sixth larger, twelve times as fast."""
WINDOW_LOG = 27
"""128 MiB: a frame sees all of itself."""
SHARDS_PER_FRAME = 4


class Frame(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where in the pieces some shards lie."""

    piece: str
    offset: int
    size: int
    lengths: list[int]
    """Bytes of each shard once decompressed."""
    shards: list[DocumentShard]


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The list that travels with the pieces."""

    pieces: dict[str, str]
    """sha256 by file name."""
    frames: list[Frame]


def bundle(
    corpus: Path,
    out: Path,
    *,
    piece_size: int,
    level: int = LEVEL,
    processes: int | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> Bundle:
    """Write pieces of at most `piece_size` bytes.

    Raises:
        ValueError: no corpus, a shard that differs from its hash, or a piece size below that of one frame.
    """
    shards = read_index(corpus).documents
    groups = [shards[at : at + SHARDS_PER_FRAME] for at in range(0, len(shards), SHARDS_PER_FRAME)]
    out.mkdir(parents=True, exist_ok=True)
    jobs = [(corpus, group, level) for group in groups]
    with worker_pool(processes) as pool:
        made = run_all(pool, _compress, jobs, "compress", on_progress)
    pieces: list[bytearray] = [bytearray()]
    frames = []
    for index, group in enumerate(groups):
        data, lengths = made[index]
        if len(data) > piece_size:
            raise ValueError(f"pieces: {piece_size} bytes are less than one part of the corpus ({len(data)} bytes)")
        if len(pieces[-1]) + len(data) > piece_size:
            pieces.append(bytearray())
        place = Frame(
            piece=_piece_name(len(pieces) - 1), offset=len(pieces[-1]), size=len(data), lengths=lengths, shards=group
        )
        frames.append(place)
        pieces[-1] += data
    for number, piece in enumerate(pieces):
        write_beside(out / _piece_name(number), bytes(piece))
    digests = {_piece_name(number): hashlib.sha256(piece).hexdigest() for number, piece in enumerate(pieces)}
    result = Bundle(pieces=digests, frames=frames)
    write_beside(out / BUNDLE_FILE, msgspec.json.encode(result))
    return result


def unbundle(
    directory: Path,
    out: Path,
    *,
    tokenizer: Path | None = None,
    processes: int | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> ShardIndex:
    """Make the corpus of a bundle in `out`; with `tokenizer` (a checkpoint directory) its token shards too.

    Raises:
        ValueError: a piece is missing or is not the one that the list names.
    """
    listed = _read_bundle(directory)
    out.mkdir(parents=True, exist_ok=True)
    for name, digest in listed.pieces.items():
        if hashlib.sha256(_read_piece(directory, name)).hexdigest() != digest:
            raise ValueError(f"bundle: {directory / name} is not the listed one (its content hash differs)")
    with worker_pool(processes) as pool:
        jobs = [(directory, frame, out) for frame in listed.frames]
        written = run_all(pool, _decompress, jobs, "unpack", on_progress)
        shards = [shard for part in written for shard in part]
        tokens = [] if tokenizer is None else tokenize_shards(pool, out, shards, tokenizer, on_progress)
    index = ShardIndex(documents=shards, tokens=tokens)
    write_index(out, index)
    return index


def _compress(job: tuple[Path, Sequence[DocumentShard], int]) -> tuple[bytes, list[int]]:
    corpus, shards, level = job
    parts = [read_shard(corpus, shard) for shard in shards]
    parameters = zstandard.ZstdCompressionParameters.from_level(level, window_log=WINDOW_LOG, enable_ldm=True)
    return zstandard.ZstdCompressor(compression_params=parameters).compress(b"".join(parts)), [*map(len, parts)]


def _decompress(job: tuple[Path, Frame, Path]) -> list[DocumentShard]:
    directory, frame, out = job
    with (directory / frame.piece).open("rb") as stream:
        stream.seek(frame.offset)
        data = stream.read(frame.size)
    try:
        lines = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG).decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(f"bundle: {directory / frame.piece}: {error}") from None
    written, start = [], 0
    for number, (shard, length) in enumerate(zip(frame.shards, frame.lengths, strict=True)):
        part = lines[start : start + length]
        start += length
        check_lines(part, shard, f"bundle: part {number} of {directory / frame.piece}")
        written.append(write_shard(out, shard, part))
    return written


def _read_bundle(directory: Path) -> Bundle:
    path = directory / BUNDLE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Bundle)
    except OSError as error:
        raise ValueError(f"bundle: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"bundle: {path}: {error}") from None


def _read_piece(directory: Path, name: str) -> bytes:
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise ValueError(f"bundle: cannot read {directory / name}: {error.strerror}") from None


def _piece_name(number: int) -> str:
    return f"piece-{number:03d}.zst"
