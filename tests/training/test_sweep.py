from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffill.cli.main import main
from diffill.model.checkpoint import checkpoint_hash
from diffill.model.config import ModelConfig
from diffill.training.evaluation.page import write_report
from diffill.training.evaluation.sweep import SweepConfig, Sweeper, write_settings
from tests.tiny import tiny_checkpoint, tiny_tokenizer


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "shape.py").write_text("width = 3\nheight = 4\n", "utf-8")
    path = tmp_path / "sweep.json"
    values = {
        "repositories": [str(tmp_path / "repository")],
        "draft_size": [1, 5],
        "draft_threshold": [1e-9],
        "count": 2,
    }
    path.write_text(json.dumps({**values, "threshold": [0.001, 1.0], "revise_threshold": [None]}), "utf-8")
    return path


def test_settings_are_found_written_and_drawn(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    weights = checkpoint_hash(checkpoint)
    assert main(["eval", "sweep", "--checkpoint", str(checkpoint), "--config", str(config), "--write", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [point["mode"] for point in report["points"]] == ["ar", "verify", "verify", "diffusion", "diffusion"]
    *_, eager, careful = report["points"]
    assert careful["tokens_per_forward"] < eager["tokens_per_forward"]
    # Every answer is wrong, so the fastest setting loses nothing.
    assert report["best"]["threshold"] == 0.001
    written = ModelConfig.load(checkpoint)
    assert (written.threshold, written.draft_size) == (0.001, report["best"]["draft_size"])
    assert checkpoint_hash(checkpoint) == weights

    sweep = tmp_path / "sweep-report.json"
    sweep.write_text(json.dumps(report), "utf-8")
    metrics = tmp_path / "metrics.jsonl"
    records = [
        {"held_out": {"causal": 3.0, "denoising": 5.0}, "step": 0, "tokens": 0},
        {"step": 1, "tokens": 9, "causal": 2.9, "denoising": 4.8},
        {"held_out": {"causal": 2.5, "denoising": 4.5}, "step": 1, "tokens": 9},
    ]
    metrics.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    command = ["eval", "report", "--sweep", str(sweep), "--metrics", str(metrics), "--out", str(tmp_path / "page")]
    assert main(command) == 0
    assert (tmp_path / "page" / "report.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "page" / "report.html").read_text("utf-8")
    assert "data:image/png;base64," in page and "http" not in page and "threshold 0.001" in page


def test_modes_answer_alike_whatever_the_settings_of_verify(tmp_path: Path, config: Path) -> None:
    sweeper = Sweeper(
        SweepConfig(repositories=(tmp_path / "repository",), threshold=(0.5,), revise_threshold=(None,)),
        tiny_checkpoint(tmp_path / "tiny"),
        tiny_tokenizer(),
    )
    texts: dict[str, set[str]] = {}
    report = sweeper.run(on_case=lambda judgement: texts.setdefault(judgement.task_id, set()).add(judgement.text))
    assert len(texts) == report.n == 2
    assert all(len(answers) <= 2 for answers in texts.values())  # one of ar and every verify, one of diffusion


def test_impossible_settings_change_nothing(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    before = (checkpoint / "config.json").read_bytes()
    with pytest.raises(ValueError, match="threshold"):
        write_settings(checkpoint, {"threshold": 2.0})
    assert (checkpoint / "config.json").read_bytes() == before


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"suite": 3}', "utf-8")
    with pytest.raises(ValueError, match=r"^gate: .*bad\.json"):
        write_report(tmp_path / "page", gate=bad, sweep=None, metrics=(), title="x")
    with pytest.raises(ValueError, match=r"^metrics: .*absent"):
        write_report(tmp_path / "page", gate=None, sweep=None, metrics=(tmp_path / "absent",), title="x")
    assert main(["eval", "report", "--out", str(tmp_path / "page")]) == 2
    assert "nothing to draw" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
