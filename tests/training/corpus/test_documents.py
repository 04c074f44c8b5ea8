"""Shards of documents and tokens: what is written reads the same, and what was changed is refused."""

from __future__ import annotations

import string
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.training.corpus import Document, read_documents
from diffill.training.corpus.documents import (
    ShardIndex,
    decode_documents,
    encode_documents,
    read_index,
    write_documents,
    write_index,
)
from diffill.training.corpus.tokens import read_tokens, tokenize, write_token_shard
from diffill.training.languages import LANGUAGE_NAMES
from tests.tiny import tiny_tokenizer

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
DOCUMENTS = st.lists(
    st.builds(Document, text=TEXTS, language=st.sampled_from(LANGUAGE_NAMES), path=TEXTS, package=TEXTS, licence=TEXTS),
    max_size=6,
)


def document(text: str, language: str = "python") -> Document:
    return Document(text=text, language=language, path="a.py", package="a 1", licence="MIT")


@given(DOCUMENTS)
def test_lines(documents: list[Document]) -> None:
    lines = encode_documents(documents)
    assert lines.count(b"\n") == len(documents), "one document a line, whatever line ends are in it"
    assert decode_documents(lines) == documents


@settings(max_examples=50)
@given(st.lists(st.text(string.printable, max_size=60), max_size=5))
def test_tokens_and_text(texts: list[str]) -> None:
    tokenizer = tiny_tokenizer()
    shard = tokenize([document(text, LANGUAGE_NAMES[-1]) for text in texts], tokenizer)
    bounds = zip(shard.offsets, shard.offsets[1:], strict=False)
    assert [tokenizer.decode(shard.tokens[start:end].tolist()) for start, end in bounds] == texts
    assert shard.languages.tolist() == [len(LANGUAGE_NAMES) - 1] * len(texts)
    assert (shard.tokens.dtype, shard.offsets.dtype, shard.languages.dtype) == (np.uint16, np.int64, np.uint8)


@pytest.fixture
def tokenizer_directory(tmp_path: Path) -> Path:
    tiny_tokenizer().save(tmp_path)
    return tmp_path


@pytest.fixture
def corpus(tmp_path: Path, tokenizer_directory: Path) -> Path:
    """Three documents in two shards, with tokens."""
    directory = tmp_path / "corpus"
    documents = [document("x = 1\n" * 10), document("y\n" * 20), document("z")]
    shards = list(write_documents(directory, documents, shard_characters=100))
    tokens = [write_token_shard(directory, shard, tokenizer_directory) for shard in shards]
    write_index(directory, ShardIndex(documents=shards, tokens=tokens))
    return directory


def test_a_corpus(corpus: Path) -> None:
    index = read_index(corpus)
    assert [shard.documents for shard in index.documents] == [2, 1]
    assert [len(found.text) for found in read_documents(corpus)] == [60, 40, 1]
    shards = list(read_tokens(corpus))
    assert [len(shard.offsets) - 1 for shard in shards] == [2, 1]
    assert [len(shard.tokens) for shard in shards] == [entry.tokens for entry in index.tokens]


@pytest.mark.parametrize(("kind", "read"), [("documents", read_documents), ("tokens", read_tokens)])
def test_a_shard_that_was_changed_is_refused(corpus: Path, kind: str, read) -> None:
    first, second = sorted(corpus.glob(f"{kind}-*"))
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match=rf"corpus: .*{first.name} is not the indexed one") as caught:
        list(read(corpus))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "read"), [("documents", read_documents), ("tokens", read_tokens)])
def test_a_shard_that_is_missing_is_named(corpus: Path, kind: str, read) -> None:
    path = sorted(corpus.glob(f"{kind}-*"))[1]
    path.unlink()
    with pytest.raises(ValueError, match=rf"corpus: cannot read .*{path.name}"):
        list(read(corpus))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not a zstd file|is not the indexed one"), (b"nothing", "is not a zstd file")],
)
def test_a_shard_that_is_something_else(corpus: Path, content: bytes, message: str) -> None:
    sorted(corpus.glob("documents-*"))[0].write_bytes(content)
    with pytest.raises(ValueError, match=message):
        list(read_documents(corpus))


def test_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"corpus: cannot read .*shards\.json"):
        list(read_documents(tmp_path))
    (tmp_path / "shards.json").write_text('{"documents": [], "colour": 1}')
    with pytest.raises(ValueError, match="colour"):
        list(read_documents(tmp_path))
    write_index(tmp_path, ShardIndex(documents=[]))
    with pytest.raises(ValueError, match="holds no token shards"):
        list(read_tokens(tmp_path))


def test_tokens_are_made_once_for_each_tokenizer(corpus: Path, tokenizer_directory: Path) -> None:
    shard = read_index(corpus).documents[1]
    path = corpus / write_token_shard(corpus, shard, tokenizer_directory).file
    made = path.stat().st_mtime_ns
    assert write_token_shard(corpus, shard, tokenizer_directory).file == path.name
    assert path.stat().st_mtime_ns == made
    (tokenizer_directory / "tokenizer.json").write_bytes((tokenizer_directory / "tokenizer.json").read_bytes() + b" ")
    assert write_token_shard(corpus, shard, tokenizer_directory).file != path.name
