"""From a corpus to rows: held out, resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from diffill.cli.train import train
from diffill.training.corpus import Document
from diffill.training.corpus.documents import ShardIndex, write_documents, write_index
from diffill.training.packing import load_rows
from diffill.training.prepare import PrepareConfig, prepare
from tests.tiny import tiny_tokenizer


def module(name: str, functions: int = 12) -> str:
    return "".join(f"def {name}_{n}(first, second):\n    return first * {n} + second\n\n\n" for n in range(functions))


DOCUMENTS = {
    "kept": [module("alpha"), module("beta"), "\n"],
    "measured": [module("delta")],
}


@pytest.fixture
def config(tmp_path: Path) -> PrepareConfig:
    documents = [
        Document(text=text, language="python", path=f"{at}.py", package=f"{name} 1.0", licence="MIT")
        for name, texts in DOCUMENTS.items()
        for at, text in enumerate(texts)
    ]
    shards = list(write_documents(tmp_path / "corpus", documents))
    write_index(tmp_path / "corpus", ShardIndex(documents=shards))
    (tmp_path / "tokenizer").mkdir()
    tiny_tokenizer().save(tmp_path / "tokenizer")
    return PrepareConfig(
        corpus=tmp_path / "corpus",
        tokenizer=tmp_path / "tokenizer",
        out=tmp_path / "rows",
        row_length=512,
        epochs=2,
        held_out=("measured",),
    )


def texts(path: Path) -> str:
    rows = load_rows(path)
    return tiny_tokenizer().decode(np.asarray(rows.tokens).ravel().tolist())


def test_documents_become_rows(config: PrepareConfig) -> None:
    seen: list[tuple[str, int, int]] = []
    report = prepare(config, on_progress=lambda *progress: seen.append(progress))
    assert report["files"] == 3
    assert report["held_out_files"] == 1
    assert report["languages"] == {"python": 3}
    assert seen == [("pack", 1, 3), ("pack", 2, 3), ("pack", 3, 3)]
    names = ["held-out", "report.json", "train-00-000", "train-01-000"]
    assert sorted(path.name for path in config.out.iterdir()) == names
    assert json.loads((config.out / "report.json").read_text()) == report

    rows = [load_rows(config.out / name) for name in ("train-00-000", "train-01-000", "held-out")]
    assert report["tokens"] == sum(int((part.document >= 0).sum()) for part in rows)
    assert not np.array_equal(rows[0].tokens, rows[1].tokens), "each epoch cuts other holes"
    trained, measured = texts(config.out / "train-00-000"), texts(config.out / "held-out")
    assert "alpha_" in trained and "beta_" in trained
    assert "delta_" in measured
    for text, absent in ((trained, "delta_"), (measured, "alpha_")):
        assert absent not in text

    # An interrupted run: what is there stays, what is missing is made the same again.
    kept = (config.out / "train-00-000" / "tokens.npy").stat().st_mtime_ns
    for file in (config.out / "train-01-000").iterdir():
        file.unlink()
    (config.out / "train-01-000").rmdir()
    assert prepare(config) == report
    assert (config.out / "train-00-000" / "tokens.npy").stat().st_mtime_ns == kept
    assert np.array_equal(load_rows(config.out / "train-01-000").tokens, rows[1].tokens)


def as_json(config: PrepareConfig, **changes: Any) -> str:
    names = ("corpus", "tokenizer", "out")
    return json.dumps({name: str(getattr(config, name)) for name in names} | {"held_out": ["kept"]} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"held_out": ["kept", "measured"]}, "holds no document to train on"),
        ({"corpus": "nowhere"}, "corpus: cannot read nowhere"),
    ],
)
def test_command_refuses_in_one_line(
    config: PrepareConfig, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(as_json(config, **changes))
    result = CliRunner().invoke(train, ["pack", "--config", str(path)])
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]
    assert not config.out.exists()
