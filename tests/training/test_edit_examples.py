"""Edit pairs to rows: the documents are edit requests with their answers, budgets hold, sources stay on one side."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from diffill.cli.train import train
from diffill.model.tokenizer import END_OF_MIDDLE, INSTRUCTION, ORIGINAL, PREFIX, SUFFIX, UPDATED
from diffill.training.edit_examples import EditRowsConfig, edit_example, is_held_out, pack_edits
from diffill.training.edits import EditPair
from diffill.training.edits.shards import write_index, write_shard
from diffill.training.packing import load_rows
from tests.tiny import tiny_checkpoint, tiny_tokenizer

TOKENIZER = tiny_tokenizer()


def pair(number: int, **changes: Any) -> EditPair:
    values = {
        "prefix": "import os\n",
        "before": f"x = {number}\n",
        "after": f"x = {number + 1}\n",
        "suffix": "print(x)\n",
        "instruction": "Count from one",
        "language": "python",
        "kind": "commit",
        "source": f"owner/name{number % 7}@abc:file{number}.py",
    }
    return EditPair(**(values | changes))


@pytest.fixture
def config(tmp_path: Path) -> EditRowsConfig:
    pairs = [pair(number) for number in range(60)] + [pair(60, after="y" * 500 + "\n"), pair(61, before="z" * 500)]
    shard = write_shard(tmp_path / "pairs" / "one.zst", pairs)
    write_index(tmp_path / "pairs", [shard])
    tiny_checkpoint(tmp_path / "model")
    return EditRowsConfig(
        pairs=tmp_path / "pairs", tokenizer=tmp_path / "model", out=tmp_path / "rows", row_length=128, held_out=0.3
    )


def test_a_document_is_a_request_and_its_answer(config: EditRowsConfig) -> None:
    config = msgspec.structs.replace(config, no_instruction=0.0)
    example = edit_example(pair(5), TOKENIZER, config, random.Random(1))
    assert example is not None
    tokens = example.tokens
    place = [tokens.index(control) for control in (SUFFIX, PREFIX, INSTRUCTION, ORIGINAL, UPDATED, END_OF_MIDDLE)]
    assert place == sorted(place)
    assert place[-1] == len(tokens) - 1
    text = [TOKENIZER.decode(tokens[start:end]) for start, end in itertools.pairwise(place)]
    assert "print(x)\n".startswith(text[0])
    assert text[1:] == ["import os\n", "Count from one", "x = 5\n", "x = 6\n"]
    assert example.middle == [False] * (place[4] + 1) + [True] * (len(tokens) - place[4] - 1)


def test_some_instructions_are_withheld(config: EditRowsConfig) -> None:
    generator = random.Random(0)
    made = [edit_example(pair(number), TOKENIZER, config, generator) for number in range(200)]
    empty = sum(
        example.tokens[example.tokens.index(INSTRUCTION) + 1] == ORIGINAL for example in made if example is not None
    )
    assert 40 <= empty <= 80


def test_rows_report_and_sides(config: EditRowsConfig) -> None:
    report = pack_edits(config)
    assert report["kinds"] == {"commit": 60}
    assert report["dropped"] == 2
    held = sum(is_held_out(pair(number), 0.3) for number in range(60))
    assert 0 < held < 60
    assert report["held_out"] == held
    train_rows, measured = load_rows(config.out / "train-000"), load_rows(config.out / "held-out")
    assert int((train_rows.tokens == UPDATED).sum()) == 60 - held
    assert int((measured.tokens == UPDATED).sum()) == held
    assert is_held_out(pair(3), 0.3) == is_held_out(pair(3, source="owner/name3@def:other.py"), 0.3)


def test_shards_are_packed_by_processes_of_their_own(config: EditRowsConfig, tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path / "two" / f"{name}.zst", [pair(number) for number in numbers])
        for name, numbers in (("one", range(30)), ("two", range(30, 60)))
    ]
    write_index(tmp_path / "two", shards)
    report = pack_edits(msgspec.structs.replace(config, pairs=tmp_path / "two"))
    assert (report["kinds"], report["dropped"]) == ({"commit": 60}, 0)
    rows = [load_rows(config.out / name) for name in ("train-000", "train-001", "held-out")]
    assert sum(int((part.tokens == UPDATED).sum()) for part in rows) == 60


def test_the_command_and_its_refusals(config: EditRowsConfig, tmp_path: Path) -> None:
    path = tmp_path / "edit-rows.json"
    values = {"pairs": str(config.pairs), "tokenizer": str(config.tokenizer), "out": str(config.out)}
    path.write_text(json.dumps(values))
    result = CliRunner().invoke(train, ["pack-edits", "--config", str(path)])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["kinds"] == {"commit": 60}
    for changes, words in (({"max_updated": 1}, "no pair within the budgets"), ({"pairs": "missing"}, "pairs: cannot")):
        path.write_text(json.dumps(values | {"out": str(tmp_path / "other")} | changes))
        result = CliRunner().invoke(train, ["pack-edits", "--config", str(path)])
        assert result.exit_code == 2
        assert words in result.stderr
