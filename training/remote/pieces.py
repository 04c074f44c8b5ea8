"""A directory as a few files of limited size, for channels that take no large ones; put together again byte for byte.

Weights hardly compress as they lie, because a float's exponent and its mantissa take turns. Sorted into planes, all
first bytes, then all second ones, the exponents do: bf16 weights shrink by a quarter (ZipNN, arXiv 2411.05239).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import zstandard

LIST_FILE = "pieces.json"
LEVEL = 3
PLANES = (1, 2, 4)
SAMPLE_BYTES = 1 << 22


class PackedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of the directory."""

    name: str
    size: int
    sha256: str
    planes: int
    """Bytes of a number that were sorted apart."""
    stored: int
    """Bytes after compression."""


class Pieces(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `pieces.json` says: the files in order, and the pieces that hold them behind one another."""

    files: list[PackedFile]
    pieces: dict[str, str]
    """sha256 by file name."""


def split(directory: Path, out: Path, *, piece_bytes: int) -> Pieces:
    """Write the files of `directory` as pieces of at most `piece_bytes`; sub-directories and hidden files stay behind.

    Raises:
        ValueError: there is nothing to pack, or `out` is not empty.
    """
    paths = sorted(path for path in directory.glob("[!.]*") if path.is_file()) if directory.is_dir() else []
    if not paths:
        raise ValueError(f"directory: {directory} holds no file")
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise ValueError(f"out: {out} is not empty")
    files, stream = [], bytearray()
    for path in paths:
        data = path.read_bytes()
        planes = min(PLANES, key=lambda count: len(_compressed(data[:SAMPLE_BYTES], count)))
        stored = _compressed(data, planes)
        files.append(
            PackedFile(name=path.name, size=len(data), sha256=_sha256(data), planes=planes, stored=len(stored))
        )
        stream += stored
    pieces = {}
    for index, at in enumerate(range(0, len(stream), piece_bytes)):
        piece = bytes(stream[at : at + piece_bytes])
        name = f"piece-{index:02d}.bin"
        (out / name).write_bytes(piece)
        pieces[name] = _sha256(piece)
    made = Pieces(files=files, pieces=pieces)
    (out / LIST_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n")
    return made


def join(pieces: Path, out: Path) -> Pieces:
    """Put the directory together again; every file is checked before the first one is written.

    Raises:
        ValueError: a piece is missing or altered, or names a file outside `out`.
    """
    try:
        listed = msgspec.json.decode((pieces / LIST_FILE).read_bytes(), type=Pieces)
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"pieces: {pieces / LIST_FILE}: {error}") from None
    stream = bytearray()
    for name, digest in listed.pieces.items():
        try:
            data = (pieces / _plain(name)).read_bytes()
        except OSError as error:
            raise ValueError(f"pieces: cannot read {pieces / name}: {error.strerror}") from None
        if _sha256(data) != digest:
            raise ValueError(f"pieces: {pieces / name} is truncated or altered (its sha256 is not the listed one)")
        stream += data
    contents, at = {}, 0
    for file in listed.files:
        try:
            data = _expanded(bytes(stream[at : at + file.stored]), file)
        except zstandard.ZstdError as error:
            raise ValueError(f"pieces: {file.name} cannot be unpacked: {error}") from None
        if _sha256(data) != file.sha256:
            raise ValueError(f"pieces: {file.name} is not what was packed")
        contents[_plain(file.name)] = data
        at += file.stored
    out.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        beside = out / f".{name}.part"
        beside.write_bytes(data)
        beside.replace(out / name)
    return listed


def _compressed(data: bytes, planes: int) -> bytes:
    whole = len(data) - len(data) % planes
    sorted_apart = np.frombuffer(data[:whole], dtype=np.uint8).reshape(-1, planes).T.tobytes() + data[whole:]
    stored: bytes = zstandard.ZstdCompressor(level=LEVEL).compress(sorted_apart)
    return stored


def _expanded(stored: bytes, file: PackedFile) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(stored) as reader:
        data: bytes = reader.read(file.size)
    whole = len(data) - len(data) % file.planes
    numbers: bytes = np.frombuffer(data[:whole], dtype=np.uint8).reshape(file.planes, -1).T.tobytes()
    return numbers + data[whole:]


def _plain(name: str) -> str:
    if Path(name).name != name or name in ("", ".", ".."):
        raise ValueError(f"pieces: {name!r} is not a plain file name")
    return name


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
