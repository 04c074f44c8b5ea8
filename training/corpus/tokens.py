"""Shards of token ids: the documents of one shard behind one another, with their boundaries and languages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from diffill.model.tokenizer import TOKENIZER_FILE, Tokenizer

from ..languages import LANGUAGE_NAMES
from .documents import Document, DocumentShard, TokenShardEntry, decode_documents, read_index, read_shard, write_beside
from .workers import Pool, Progress, run_all

LARGEST_VOCABULARY = 1 << 16


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """Documents as token ids. Between two documents there is no separator; the trainer puts its own."""

    tokens: np.ndarray
    """uint16.  # [N]"""
    offsets: np.ndarray
    """int64; document i is `tokens[offsets[i] : offsets[i + 1]]`.  # [D + 1]"""
    languages: np.ndarray
    """uint8 index into `LANGUAGE_NAMES`.  # [D]"""


def tokenize(documents: Sequence[Document], tokenizer: Tokenizer) -> TokenShard:
    """Raises ValueError when the vocabulary does not fit 16 bits."""
    if tokenizer.vocabulary_size > LARGEST_VOCABULARY:
        raise ValueError(f"tokenizer: {tokenizer.vocabulary_size} ids do not fit the 16 bits of a token shard")
    parts = [np.asarray(tokenizer.encode(document.text), dtype=np.uint16) for document in documents]
    return TokenShard(
        tokens=np.concatenate([np.zeros(0, dtype=np.uint16), *parts]),
        offsets=np.cumsum([0, *map(len, parts)], dtype=np.int64),
        languages=np.asarray([LANGUAGE_NAMES.index(document.language) for document in documents], dtype=np.uint8),
    )


def write_token_shard(directory: Path, shard: DocumentShard, tokenizer_directory: Path) -> TokenShardEntry:
    """Tokenise one shard of documents, or keep the file that is there: its name says what it was made of."""
    made_of = hashlib.sha256(shard.sha256.encode())
    made_of.update((tokenizer_directory / TOKENIZER_FILE).read_bytes())
    number = shard.file.split("-")[1]
    path = directory / f"tokens-{number}-{made_of.hexdigest()[:12]}.safetensors"
    if not path.exists():
        tokenizer = Tokenizer.load(tokenizer_directory)
        tokens = tokenize(decode_documents(read_shard(directory, shard)), tokenizer)
        write_beside(path, save(vars(tokens), metadata={"made_of": made_of.hexdigest()}))
    data = path.read_bytes()
    count = len(_load(path, data).tokens)
    return TokenShardEntry(file=path.name, sha256=hashlib.sha256(data).hexdigest(), tokens=count)


def read_tokens(directory: Path) -> Iterator[TokenShard]:
    """Every token shard of a corpus, in the order of `read_documents`.

    Raises:
        ValueError: the corpus has none, or one is missing or is not the one that the index names.
    """
    entries = read_index(directory).tokens
    if not entries:
        raise ValueError(f"corpus: {directory} holds no token shards; build it with a tokenizer")
    for entry in entries:
        path = directory / entry.file
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ValueError(f"corpus: cannot read {path}: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ValueError(f"corpus: {path} is not the indexed one (its content hash differs)")
        yield _load(path, data)


def _load(path: Path, data: bytes) -> TokenShard:
    try:
        return TokenShard(**load(data))
    except (SafetensorError, TypeError) as error:
        raise ValueError(f"corpus: {path} is not a token shard: {error}") from None


def tokenize_shards(
    pool: Pool,
    directory: Path,
    shards: Sequence[DocumentShard],
    tokenizer: Path,
    on_progress: Progress,
) -> list[TokenShardEntry]:
    """One token shard for each shard of documents, in their order."""
    jobs = [(directory, shard, tokenizer) for shard in shards]
    return run_all(pool, _write_token_shard, jobs, "tokenize", on_progress)


def _write_token_shard(job: tuple[Path, DocumentShard, Path]) -> TokenShardEntry:
    return write_token_shard(*job)
