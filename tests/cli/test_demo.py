"""The demo with the real language server and the real engine process; only the model is a fake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from diffill.cli.sample import FUNCTION_BODY, load_samples
from tests.command_line import answers_file, fake_engine, refused, run, run_json


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    cursors = [FUNCTION_BODY, *(cursor for sample in load_samples() for cursor in sample.cursors)]
    answers = {"return sum(": "item", "list[Item]": ":", "requests.append(": "request"}
    answers |= {cursor.before: cursor.missing for cursor in cursors}
    with fake_engine(table=answers_file(tmp_path_factory.mktemp("demo"), answers)) as environment:
        yield environment


def test_json_form(engine: dict[str, str]) -> None:
    report = run_json("demo", **engine)
    completions = report["completions"]
    assert len(completions) == sum(len(sample.cursors) for sample in load_samples())
    assert {Path(completion["file"]).suffix for completion in completions} == {".py", ".ts"}
    # The model "knows" what the author wrote, so the server must show exactly that at every place.
    assert [completion["text"] for completion in completions] == [completion["author"] for completion in completions]
    assert all(completion["first_ms"] > 0 and completion["again_ms"] > 0 for completion in completions)
    assert [(repair["after"], repair["verified"]) for repair in report["repairs"]] == [
        ("return sum(item.value for item in self.items.values())", True),
        ("def short_items(self) -> list[Item]:", True),
        ("requests.append(request)", True),
    ]
    assert report["block"]["text"] == FUNCTION_BODY.missing
    assert [row["mode"] for row in report["modes"]] == ["ar", "verify", "diffusion"]
    for row in report["modes"]:
        assert row["answers"] == 5
        assert row["tokens_per_forward"] == row["tokens"] / row["forward_passes"]
    assert report["model"]["name"] == "fake"


def test_plain_text_where_there_is_no_terminal(engine: dict[str, str]) -> None:
    process = run("demo", **engine)
    assert process.returncode == 0, process.stderr
    assert "\x1b" not in process.stdout
    assert process.stderr == ""
    assert "        return self.quantity * ⟦self.price⟧\n" in process.stdout
    assert "\npass 1, tokens 0-3:  return sum(item" in process.stdout
    assert "tokens per forward" in process.stdout


def test_an_engine_that_cannot_load_is_one_line() -> None:
    with fake_engine(load_error="checkpoint: weights.json is missing") as environment:
        line = refused(run("demo", **environment))
    assert line == "diffill: checkpoint: weights.json is missing"
