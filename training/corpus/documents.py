"""Documents on disk: shards of JSON lines under zstd, and an index that names each by the hash of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import zstandard

INDEX_FILE = "shards.json"
SHARD_CHARACTERS = 8_000_000
LEVEL = 10
"""zstd: ten times as fast to write as the strongest level, and a fifth larger."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One source file that may be trained on."""

    text: str
    language: str
    path: str
    """Inside its package."""
    package: str
    """Name and version, as in `flask 3.1.3`."""
    licence: str
    """SPDX expression."""


class DocumentShard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the index."""

    file: str
    sha256: str
    """Of the JSON lines, not of their compressed form: a bundle compresses them anew."""
    documents: int
    characters: int


class TokenShardEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same documents as token ids; see `tokens`."""

    file: str
    sha256: str
    """Of the file."""
    tokens: int


class ShardIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a corpus directory holds, in order."""

    documents: list[DocumentShard]
    tokens: list[TokenShardEntry] = []
    """Empty, or one for each shard of documents."""


def read_index(directory: Path) -> ShardIndex:
    """Raises ValueError when `directory` is no corpus."""
    path = directory / INDEX_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=ShardIndex)
    except OSError as error:
        raise ValueError(f"corpus: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"corpus: {path}: {error}") from None


def write_index(directory: Path, index: ShardIndex) -> None:
    write_beside(directory / INDEX_FILE, msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n")


def read_documents(directory: Path) -> Iterator[Document]:
    """Every document of a corpus, shard by shard.

    Raises:
        ValueError: there is no corpus, or a shard is missing or is not the one that the index names.
    """
    for shard in read_index(directory).documents:
        yield from decode_documents(read_shard(directory, shard))


def read_shard(directory: Path, shard: DocumentShard) -> bytes:
    """The JSON lines of one shard, checked against the index."""
    path = directory / shard.file
    try:
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    except OSError as error:
        raise ValueError(f"corpus: cannot read {path}: {error.strerror}") from None
    except zstandard.ZstdError:
        raise ValueError(f"corpus: {path} is not a zstd file") from None
    check_lines(lines, shard, f"corpus: {path}")
    return lines


def check_lines(lines: bytes, shard: DocumentShard, where: str) -> None:
    """Raises ValueError when the content is not what `shard` was made of."""
    if hashlib.sha256(lines).hexdigest() != shard.sha256:
        raise ValueError(f"{where} is not the indexed one (its content hash differs)")


def write_shard(directory: Path, shard: DocumentShard, lines: bytes) -> DocumentShard:
    """Write the JSON lines that `shard` describes, unless they are there."""
    path = directory / shard.file
    if not path.exists():
        write_beside(path, zstandard.ZstdCompressor(level=LEVEL).compress(lines))
    return shard


def write_documents(
    directory: Path, documents: Iterable[Document], *, shard_characters: int = SHARD_CHARACTERS
) -> Iterator[DocumentShard]:
    """Write shards of about `shard_characters`; the caller writes the index once the last one is there."""
    directory.mkdir(parents=True, exist_ok=True)
    number, characters = 0, 0
    shard: list[Document] = []
    for document in documents:
        shard.append(document)
        characters += len(document.text)
        if characters >= shard_characters:
            yield _write(directory, number, shard, characters)
            number, characters, shard = number + 1, 0, []
    if shard:
        yield _write(directory, number, shard, characters)


def _write(directory: Path, number: int, documents: Sequence[Document], characters: int) -> DocumentShard:
    lines = encode_documents(documents)
    digest = hashlib.sha256(lines).hexdigest()
    # Named by number and content, so that an index never points at a shard which a later run has changed.
    name = f"documents-{number:04d}-{digest[:12]}.jsonl.zst"
    shard = DocumentShard(file=name, sha256=digest, documents=len(documents), characters=characters)
    return write_shard(directory, shard, lines)


def encode_documents(documents: Iterable[Document]) -> bytes:
    return msgspec.json.Encoder().encode_lines(documents)


def decode_documents(lines: bytes) -> list[Document]:
    return msgspec.json.Decoder(Document).decode_lines(lines)


def write_beside(path: Path, data: bytes) -> None:
    """Whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(data)
    beside.replace(path)
