"""Plans: real commands in a process of their own, to the end, whatever one of them does."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from diffill.cli.remote import remote
from diffill.model.checkpoint import load_checkpoint, verify
from diffill.training.history import History
from diffill.training.packing import save_rows
from diffill.training.remote.plan import finish, read_state, run, start, watch
from tests.tiny import tiny_checkpoint, tiny_config
from tests.training.packed import random_rows

HANG_GUARD_SECONDS = 120.0


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_steps_run_on_after_one_that_fails(tmp_path: Path) -> None:
    steps = [["--version"], ["no-such-command"], ["train", "--help"], ["-m", "diffill.cli.main", "--version"]]
    plan = written(tmp_path / "plan.json", steps)
    start(plan, tmp_path / "leg", seconds=60)
    lines = list(watch(tmp_path / "leg", seconds=HANG_GUARD_SECONDS))
    state = read_state(tmp_path / "leg")
    assert state.done and state.codes == [0, 2, 0, 0]
    assert [line for line in lines if line.startswith(("$", "exit"))] == [
        *("$ diffill --version", "exit code 0", "$ diffill no-such-command", "exit code 2"),
        *("$ diffill train --help", "exit code 0"),
        *("$ python -m diffill.cli.main --version", "exit code 0"),
    ]


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    """A configuration whose run would take an hour."""
    small = {"hidden_size": 32, "num_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48}
    tiny_checkpoint(tmp_path / "start", dtype=torch.float32, config=tiny_config(**small))
    save_rows(tmp_path / "rows" / "train-00-000", random_rows(0, length=64, examples=40))
    config = {"start": "start", "rows": "rows", "out": "out", "name": "tiny", "seconds": 3600}
    return written(tmp_path / "stage.json", {key: str(tmp_path / value) if key in ("start", "rows", "out") else value
                                             for key, value in config.items()})  # fmt: skip


def test_a_training_step_ends_early_and_its_weights_get_out(tmp_path: Path, stage: Path) -> None:
    """The whole way: train in the background, end by a signal, pieces, and the weights come back elsewhere."""
    steps = [
        ["train", "causal", "--config", str(stage), "--seconds", "{seconds_left}"],
        ["train", "export", "--checkpoint", str(tmp_path / "out"), "--out", str(tmp_path / "bf16"), "--bfloat16"],
        ["remote", "split", str(tmp_path / "bf16"), "--out", str(tmp_path / "pieces"), "--megabytes", "0.01"],
    ]
    start(written(tmp_path / "plan.json", steps), tmp_path / "leg", seconds=HANG_GUARD_SECONDS)
    metrics = tmp_path / "out" / "metrics.jsonl"
    seen = (line for line in watch(tmp_path / "leg", seconds=HANG_GUARD_SECONDS, metrics=metrics))
    assert any('"causal"' in line for line in seen), "metrics are shown as they come"
    finish(tmp_path / "leg")
    list(watch(tmp_path / "leg", seconds=HANG_GUARD_SECONDS))
    assert read_state(tmp_path / "leg").codes == [0, 0, 0]
    result = CliRunner().invoke(remote, ["join", str(tmp_path / "pieces"), "--out", str(tmp_path / "back")])
    assert result.exit_code == 0, result.output
    verify(tmp_path / "back")
    assert History.of(tmp_path / "back", "causal").steps > 0, "a later leg goes on from there"
    assert (tmp_path / "back" / "metrics.jsonl").exists()
    assert {weight.dtype for weight in load_checkpoint(tmp_path / "back")[1].values()} == {torch.bfloat16}


def test_a_step_is_told_how_long_it_may_take(tmp_path: Path) -> None:
    """Here one that waits for its own end, and gives up at the deadline."""
    leg = str(tmp_path / "leg")
    plan = written(tmp_path / "plan.json", [["remote", "watch", leg, "--seconds", "{seconds_left}", "--quiet"]])
    start(plan, tmp_path / "leg", seconds=2)
    first, *rest = watch(tmp_path / "leg", seconds=HANG_GUARD_SECONDS)
    assert first in [f"$ diffill remote watch {leg} --seconds {seconds} --quiet" for seconds in (1, 2)]
    assert rest == ["diffill: step 1 of 1 still runs", "exit code 1"]


def test_a_watch_that_ends_before_the_plan_says_so(tmp_path: Path) -> None:
    plan = written(tmp_path / "plan.json", [["remote", "watch", str(tmp_path / "leg"), "--seconds", "5", "--quiet"]])
    start(plan, tmp_path / "leg", seconds=60)
    result = CliRunner().invoke(remote, ["watch", str(tmp_path / "leg"), "--seconds", "0"])
    assert result.exit_code == 1
    assert "step 1 of 1 still runs" in result.output
    process = None
    deadline = time.monotonic() + HANG_GUARD_SECONDS
    while process is None and time.monotonic() < deadline:
        process = read_state(tmp_path / "leg").process
        time.sleep(0.05)
    assert process is not None
    finish(tmp_path / "leg")
    list(watch(tmp_path / "leg", seconds=HANG_GUARD_SECONDS))
    assert read_state(tmp_path / "leg").codes != [0]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize("plan", [{}, [], [[]], [["train", 1]]])
def test_what_is_no_plan_is_refused(tmp_path: Path, plan: Any) -> None:
    with pytest.raises(ValueError, match="plan: "):
        start(written(tmp_path / "plan.json", plan), tmp_path / "leg", seconds=1)
    assert not (tmp_path / "leg").exists()


def test_one_plan_a_directory(tmp_path: Path) -> None:
    plan = written(tmp_path / "plan.json", [["--version"]])
    start(plan, tmp_path / "leg", seconds=60)
    with pytest.raises(ValueError, match="has a plan already"):
        start(plan, tmp_path / "leg", seconds=60)
    list(watch(tmp_path / "leg", seconds=HANG_GUARD_SECONDS))
    with pytest.raises(ValueError, match="has no plan"):
        run(tmp_path / "other")
