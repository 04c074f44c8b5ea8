"""Fine-tuning on two processes that share weights: one is killed, the same command goes on and comes to the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from diffill.training.finetune.run import WORK
from diffill.training.lora import FACTORS_FILE
from tests.finetuning import done, small_base, team_repository

HANG_GUARD_SECONDS = 240.0
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "0")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *TORCHRUN, "-m", "diffill.cli.main", *map(str, arguments), "--shard", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def second_process(launcher: subprocess.Popen[str]) -> psutil.Process:
    (found,) = [child for child in psutil.Process(launcher.pid).children() if child.environ().get("RANK") == "1"]
    return found


def test_one_process_is_killed_and_the_same_command_goes_on(tmp_path: Path) -> None:
    team, base = team_repository(tmp_path / "team").directory, small_base(tmp_path / "base")
    out, history = tmp_path / "adapter", tmp_path / "adapter" / WORK / "history.json"
    options = ("--checkpoint", base, "--epochs", "30", "--save-every", "0.001", "--gate-cases", "0")
    launcher = start("finetune", team, "--out", out, *options)
    deadline = time.monotonic() + HANG_GUARD_SECONDS
    while not history.exists() or json.loads(history.read_bytes())["steps"] < 3:
        assert launcher.poll() is None and time.monotonic() < deadline, launcher.communicate()[1]
        time.sleep(0.02)
    second_process(launcher).kill()
    launcher.communicate(timeout=HANG_GUARD_SECONDS)
    assert launcher.returncode != 0
    saved = json.loads(history.read_bytes())
    assert saved["steps"] >= 3 and not (out / "manifest.json").exists()

    launcher = start("finetune", team, "--out", out, *options)  # what an outer loop does
    stdout, stderr = launcher.communicate(timeout=HANG_GUARD_SECONDS)
    assert launcher.returncode == 0, stderr
    resumed = json.loads(stdout)
    alone = done("finetune", team, "--out", tmp_path / "alone", *options)
    assert resumed["legs"] == 2, "one of them goes on where the first was saved"
    assert resumed["steps"] == alone["steps"] > saved["steps"]
    assert resumed["later_commits_after"]["causal"] == pytest.approx(alone["later_commits_after"]["causal"], abs=0.2)
    assert done("adapter", "check", out, "--checkpoint", base)["files"] == 1
    kept = {path.name for path in (out / WORK).iterdir() if path.is_file()}
    stated = {"history.json", "lock", "metrics.jsonl", "plan.sha256", "run.json", "through"}
    assert kept == stated | {FACTORS_FILE}, "no pickle"
