"""Bundles: a corpus goes through pieces and comes out the same, or is refused by name."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffill.cli.corpus import corpus as command
from diffill.training.corpus import Document, read_documents
from diffill.training.corpus.documents import ShardIndex, read_index, write_documents, write_index
from diffill.training.corpus.tokens import read_tokens
from tests.tiny import tiny_tokenizer

PIECE = 3000


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def make_corpus(directory: Path, texts: list[str]) -> Path:
    documents = [
        Document(text=text, language="python", path=f"{at}.py", package="a 1", licence="MIT")
        for at, text in enumerate(texts)
    ]
    write_index(directory, ShardIndex(documents=list(write_documents(directory, documents, shard_characters=500))))
    return directory


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    generator = random.Random(0)
    return make_corpus(tmp_path / "corpus", [generator.randbytes(200).hex() for _ in range(40)])


def test_there_and_back(corpus: Path, tmp_path: Path) -> None:
    result = invoke("bundle", corpus, "--out", tmp_path / "bundle", "--pieces", PIECE, "--processes", 1)
    assert result.exit_code == 0, result.stderr
    pieces = sorted((tmp_path / "bundle").glob("piece-*"))
    assert len(pieces) > 1
    assert all(path.stat().st_size <= PIECE for path in pieces)
    assert sorted(json.loads(result.stdout)) == [path.name for path in pieces]

    tiny_tokenizer().save(tmp_path)
    again = tmp_path / "again"
    result = invoke("unbundle", tmp_path / "bundle", "--out", again, "--tokenizer", tmp_path, "--processes", 1)
    assert result.exit_code == 0, result.stderr
    assert read_index(again).documents == read_index(corpus).documents
    assert list(read_documents(again)) == list(read_documents(corpus))
    assert json.loads(result.stdout) == {
        "documents": 40,
        "characters": 40 * 400,
        "tokens": sum(len(shard.tokens) for shard in read_tokens(again)),
    }


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=400), min_size=1, max_size=8))
def test_any_text(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    directory = tmp_path_factory.mktemp("any")
    made = make_corpus(directory / "corpus", texts)
    assert invoke("bundle", made, "--out", directory / "bundle", "--level", 1, "--processes", 1).exit_code == 0
    assert invoke("unbundle", directory / "bundle", "--out", directory / "again", "--processes", 1).exit_code == 0
    assert [document.text for document in read_documents(directory / "again")] == texts


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\0"), "piece-001.zst is not the listed one"),
        (lambda path: path.unlink(), "bundle: cannot read .*piece-001.zst"),
        (lambda path: (path.parent / "bundle.json").unlink(), "bundle: cannot read .*bundle.json"),
        (lambda path: (path.parent / "bundle.json").write_text("{}"), "bundle: .*pieces"),
    ],
    ids=["changed", "missing", "no list", "wrong list"],
)
def test_a_bad_bundle_is_refused(corpus: Path, tmp_path: Path, damage, message: str) -> None:
    assert invoke("bundle", corpus, "--out", tmp_path / "bundle", "--pieces", PIECE, "--processes", 1).exit_code == 0
    damage(tmp_path / "bundle" / "piece-001.zst")
    result = invoke("unbundle", tmp_path / "bundle", "--out", tmp_path / "again", "--processes", 1)
    assert result.exit_code == 2
    with pytest.raises(ValueError, match=message):
        raise ValueError(result.stderr.strip().splitlines()[-1])
    assert not (tmp_path / "again" / "shards.json").exists()


WRONG_SIZES = [("ten", "'ten' is not a size"), ("0", "not a size"), ("1KiB", "less than")]


@pytest.mark.parametrize(("size", "message"), WRONG_SIZES)
def test_a_wrong_size(corpus: Path, tmp_path: Path, size: str, message: str) -> None:
    result = invoke("bundle", corpus, "--out", tmp_path / "bundle", "--pieces", size, "--processes", 1)
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]
