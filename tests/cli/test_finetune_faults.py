"""What goes wrong in the middle of a run: one line, nothing lost, nothing half-installed, and the command goes on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diffill.model.adapter_manifest import MANIFEST_FILE
from diffill.training import lora
from diffill.training.finetune import edits
from diffill.training.finetune.run import WORK
from diffill.training.joint import JointStage
from diffill.training.lora import FACTORS_FILE
from diffill.training.stage import Losses
from diffill.training.trainer import Trainer
from tests.finetuning import call, done, last_line, small_base, team_repository
from tests.training.git_repository import WorkTree


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return small_base(tmp_path / "base")


@pytest.fixture
def team(tmp_path: Path) -> WorkTree:
    return team_repository(tmp_path / "team")


@pytest.fixture
def command(team: WorkTree, base: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    out = tmp_path / "adapter"
    return ("finetune", team.directory, "--out", out, "--checkpoint", base, "--epochs", "6", "--gate-cases", "0")


def saving_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Trainer._update

    def saved(self: Trainer, *arguments: Any) -> dict[str, Any]:
        record = update(self, *arguments)
        self.save()
        return record

    monkeypatch.setattr(Trainer, "_update", saved)


def test_a_full_disk(command: tuple[str | Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third writing of the factors finds no room; the second stays, and once there is room the run goes on."""
    written: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        if path.name == FACTORS_FILE and len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        beside(path, data)
        written.append(path)

    beside: Callable[[Path, bytes], None] = lora.write_beside
    with monkeypatch.context() as patch:
        saving_at_every_step(patch)
        patch.setattr(lora, "write_beside", full)
        result = call(*command)
    assert result.exit_code == 2
    assert "No space left on device" in last_line(result) and FACTORS_FILE in last_line(result)
    work = tmp_path / "adapter" / WORK
    assert json.loads((work / "history.json").read_bytes())["steps"] == 2
    assert not (tmp_path / "adapter" / MANIFEST_FILE).exists(), "no package of a run that failed"
    resumed = done(*command)
    assert resumed["legs"] == 2 and resumed["steps"] > 2


def test_a_loss_that_is_no_number(
    command: tuple[str | Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = JointStage.loss
    steps: list[int] = []

    def broken(self: JointStage, *arguments: Any) -> Losses:
        losses = computed(self, *arguments)
        if losses.total.requires_grad:
            steps.append(len(steps))
        if len(steps) != 3:
            return losses
        return Losses(
            total=losses.total * float("nan"), parts={name: part * float("nan") for name, part in losses.parts.items()}
        )

    with monkeypatch.context() as patch:
        patch.setattr(JointStage, "loss", broken)
        result = call(*command)
    assert result.exit_code == 2
    assert "loss is not finite at step 2" in last_line(result) and "holds the last good weights" in last_line(result)
    assert json.loads((tmp_path / "adapter" / WORK / "history.json").read_bytes())["steps"] == 2
    assert not (tmp_path / "adapter" / MANIFEST_FILE).exists()
    assert done(*command)["legs"] == 2


@pytest.mark.parametrize("what", ["base", "factors", "rows", "history"])
def test_a_corrupt_file_is_named(
    command: tuple[str | Path, ...], base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:

    update = Trainer._update

    def interrupted(self: Trainer, *arguments: Any) -> dict[str, Any]:
        if self.step == 2:
            raise KeyboardInterrupt
        return update(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", interrupted)
        done(*command)
    out = tmp_path / "adapter"
    package = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    path = {
        "base": next(base.glob("weights-*.safetensors")),
        "factors": out / WORK / FACTORS_FILE,
        "rows": out / WORK / "rows" / "train-000" / "tokens.npy",
        "history": out / WORK / "history.json",
    }[what]
    path.write_bytes(path.read_bytes()[:-7])
    result = call(*command)
    assert result.exit_code == 2, result.output
    named = path.parent if what in ("base", "rows") else path
    assert str(named) in last_line(result)
    assert {path: path.read_bytes() for path in package} == package, "what was made before is whole"


def test_submodules_are_left_alone(team: WorkTree, base: Path, tmp_path: Path) -> None:
    other = team_repository(tmp_path / "other")
    team.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other.directory), "third/party")
    team.commit("Take a part from elsewhere", {})
    team.commit("Note it", {"notes.txt": "one\n"})
    preview = done("finetune", team.directory, "--checkpoint", base, "--dry-run", "--until", "2100-01-01")
    assert preview["refused"]["third/party"] == "submodule"
    assert preview["files"].keys() == {"pkg/a.py"}


def test_a_long_history_is_sampled_by_a_stated_rule(
    team: WorkTree, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "MOST_COMMITS", 3)
    whole = ("finetune", team.directory, "--checkpoint", base, "--dry-run", "--until", "2100-01-01")
    preview = done(*whole)
    assert preview["refused_edits"]["over the limit of commits"] == 8, "the newest 3 of 11 with a parent"
    assert 0 < preview["edits"] <= 5
