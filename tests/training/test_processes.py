"""Several processes of one run against one, as `torchrun` starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from diffill.model.checkpoint import load_checkpoint, verify
from diffill.training.packing import save_rows
from tests.tiny import tiny_checkpoint, tiny_config
from tests.training.packed import random_rows

HANG_GUARD_SECONDS = 240.0
DIFFILL = ("-m", "diffill.cli.main", "train", "joint", "--config")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def train(directory: Path, *launcher: str, out: str, **changes: object) -> subprocess.CompletedProcess[str]:
    config = {
        "start": "start",
        "rows": "rows",
        "out": out,
        "name": "learned",
        "seconds": 1e6,
        "max_steps": 3,
        "micro_batches": 4,
        "rows_per_step": 4,
        "learning_rate": 1e-2,
        "self_distillation": 0.5,
        "corruption": {"block_size": 4, "noisy_length": 32},
    }
    (directory / f"{out}.json").write_text(json.dumps(config | changes))
    return subprocess.run(
        [sys.executable, *launcher, *DIFFILL, f"{out}.json"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_SECONDS,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processes")
    config = tiny_config(hidden_size=32, num_heads=2, num_key_value_heads=1, intermediate_size=48)
    tiny_checkpoint(path / "start", dtype=torch.float32, config=config)
    save_rows(path / "rows" / "train-00-000", random_rows(0, length=64, examples=60))
    save_rows(path / "rows" / "held-out", random_rows(1, length=64, examples=20))
    return path


def test_two_processes_are_one(directory: Path) -> None:
    alone = train(directory, out="alone")
    together = train(directory, *TORCHRUN, out="together")
    assert (alone.returncode, together.returncode) == (0, 0), alone.stderr + together.stderr
    assert len(together.stdout.splitlines()) == 1, "one of them speaks"
    one, two = json.loads(alone.stdout), json.loads(together.stdout)
    assert two["tokens"] == one["tokens"]
    assert two["held_out"] == pytest.approx(one["held_out"], rel=2e-2)
    verify(directory / "together")
    lines = [(directory / out / "metrics.jsonl").read_text().splitlines() for out in ("alone", "together")]
    assert len(lines[0]) == len(lines[1]) == 5
    for first, second in zip(*lines, strict=True):
        for name in json.loads(first).keys() & {"causal", "denoising", "gradient_norm"}:
            assert json.loads(second)[name] == pytest.approx(json.loads(first)[name], rel=2e-2)
    start, ends = (
        load_checkpoint(directory / "start")[1],
        [load_checkpoint(directory / out)[1] for out in ("alone", "together")],
    )
    moved = [torch.cat([(end[name] - start[name].float()).flatten() for name in start]) for end in ends]
    assert float(torch.nn.functional.cosine_similarity(*moved, dim=0)) > 0.98


def test_shared_out_weights_are_one(directory: Path) -> None:
    """FSDP2 against one process on the same batches; of three held-out batches one process has only one."""
    settings = {"held_out_rows": 3, "max_steps": 2}
    alone = train(directory, out="whole", **settings)
    together = train(directory, *TORCHRUN, out="sharded", shard=True, **settings)
    assert (alone.returncode, together.returncode) == (0, 0), alone.stderr + together.stderr
    lines = [(directory / out / "metrics.jsonl").read_text().splitlines() for out in ("whole", "sharded")]
    for first, second in zip(*(map(json.loads, part) for part in lines), strict=True):
        for name in first.keys() & {"causal", "denoising", "gradient_norm"}:
            assert second[name] == pytest.approx(first[name], rel=2e-2)
        assert second.get("held_out", {}) == pytest.approx(first.get("held_out", {}), rel=2e-2)
    verify(directory / "sharded")
    ends = [load_checkpoint(directory / out)[1] for out in ("start", "whole", "sharded")]
    moved = [torch.cat([(end[name].float() - ends[0][name].float()).flatten() for name in ends[0]]) for end in ends[1:]]
    assert float(torch.nn.functional.cosine_similarity(*moved, dim=0)) > 0.98
    assert not [path for path in (directory / "sharded").iterdir() if path.suffix in (".pt", ".pkl", ".distcp")]


def test_weights_that_nobody_shares_are_not_shared_out(directory: Path) -> None:
    process = train(directory, out="odd", shard=True)
    assert process.returncode == 2
    assert "shard: it needs several processes" in process.stderr


def test_what_cannot_be_shared_out_is_refused(directory: Path) -> None:
    process = train(directory, *TORCHRUN, out="odd", micro_batches=1)
    assert process.returncode != 0
    assert "micro_batches: 1 cannot be shared out among 2 processes" in process.stderr
    assert not (directory / "odd").exists()
