"""`diffill finetune` and `diffill adapter` on a small repository and a tiny model: from a checkout to a warm engine."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, Literal

import pytest

from diffill.training.finetune.run import LOCK_FILE, WORK
from tests.adapters import write_adapter
from tests.command_line import private_directory, run, run_json
from tests.finetuning import call, done, last_line, small_base, team_repository


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return small_base(tmp_path / "base")


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return team_repository(tmp_path / "team").directory


def test_a_preview_writes_nothing(team: Path, base: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    preview = done("finetune", team, "--checkpoint", base, "--dry-run")
    assert preview["files"].keys() == {"pkg/a.py"}
    assert preview["edits"] == sum(preview["edits_by_kind"].values()) > 0 and preview["later_edits"] == 1
    assert preview["estimate"]["steps"] > 0
    assert (preview["rehearsal"]["share"], preview["rehearsal"]["licence"]) == (0.2, "PSF-2.0")
    assert preview["rehearsal"]["files"] > 0
    assert preview["trained_to"] != preview["judged_to"]
    assert sorted(tmp_path.rglob("*")) == before


def test_from_a_checkout_to_an_adapter_that_is_used(team: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    command = ("finetune", team, "--out", out, "--name", "team", "--checkpoint", base, "--epochs", "12")
    first = done(*command, "--gate-cases", "2")
    assert first["name"] == "team" and first["steps"] > 1
    manifest = json.loads((out / "manifest.json").read_text())
    assert first["gate"] == manifest["gate"]["verdict"] == "same", "a tiny random model knows no line before or after"
    assert manifest["gate"]["passed"].keys() >= {"later commits", "public cases", "lines", "next hunk"}
    assert manifest["data"]["files"]["pkg/a.py"]["characters"] > 200
    assert manifest["data"]["files"]["pkg/a.py"]["edits"] > 0
    assert manifest["config"]["learning_rate"] == 2e-3
    rehearsed = manifest["data"]["rehearsed"]
    assert rehearsed["rows"] > 0 and 0.05 < rehearsed["share"] < 0.4, "of so few rows about a fifth"
    assert manifest["data"]["files"].keys() == {"pkg/a.py"}, "what is rehearsed counts apart"
    assert manifest["base"]["hash"] == first["base"]
    assert "compute_" not in json.dumps(manifest), "no code in it"
    assert done(*command, "--gate-cases", "2") == first, "a run that is done is not run again"
    assert b"data:image/png;base64" in (out / "report.html").read_bytes()
    rows = json.loads((out / "gate.json").read_text())["rows"]
    assert {"ms an answer", "tokens per forward", "passed", "causal"} <= {row["quantity"] for row in rows}
    refused = call("adapter", "install", out, "--checkpoint", base)
    assert (refused.exit_code, "the gate found no gain" in refused.output) == (1, True)
    assert done("adapter", "check", out, "--checkpoint", base)["files"] == 1
    installed = done("adapter", "install", out, "--checkpoint", base, "--force")["installed"]
    assert (tmp_path / "data/diffill/adapters" / installed / "report.html").is_file()
    assert done("adapter", "use", "team", "--workspace", team)["used"] == installed
    (listed,) = done("adapter", "list")["adapters"]
    assert listed["name"] == installed and listed["used_in"] == [str(team)]
    assert [row["name"] for row in done("adapter", "forget", "pkg/a.py")["adapters"]] == [installed]
    for other in ("pkg/b.py", *rehearsed["files"]):
        assert done("adapter", "forget", other)["adapters"] == []
    assert done("adapter", "rollback", "--workspace", team)["used"] is None
    with private_directory() as directory:
        environment = {"DIFFILL_RUNTIME_DIR": str(directory), "DIFFILL_CHECKPOINT": str(base)}
        place = f"{team / 'pkg/a.py'}:4:5"
        try:
            tuned = run_json("complete", place, "--adapter", "team", "--device", "cpu", **environment)
            assert tuned["model"]["adapter"].startswith("team ")
            plain = run_json("complete", place, "--device", "cpu", **environment)
            assert plain["model"]["adapter"] is None, "the same engine without it"
        finally:
            run("engine", "stop", "--device", "cpu", **environment)


def test_interrupted_it_goes_on(team: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffill.training.trainer import Trainer

    update = Trainer._update

    def interrupted(self: Trainer, *arguments: Any) -> dict[str, Any]:
        record = update(self, *arguments)
        if self.step == 2:
            signal.raise_signal(signal.SIGINT)
        return record

    out = tmp_path / "adapter"
    command = ("finetune", team, "--out", out, "--checkpoint", base, "--epochs", "12", "--gate-cases", "0")
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", interrupted)
        assert done(*command)["steps"] == 2
    assert done("adapter", "check", out, "--checkpoint", base)["metrics"]["steps"] == 2, "what was learned is whole"
    whole = done("finetune", team, "--out", tmp_path / "whole", *command[4:])
    resumed = done(*command)
    assert resumed["steps"] == whole["steps"] > 2
    assert resumed["legs"] == 2
    assert done(*command)["legs"] == 2, "a run that is through is not started again"
    ends = [run["later_commits_after"]["causal"] for run in (resumed, whole)]
    assert ends[0] == pytest.approx(ends[1], abs=0.2)


def test_processes_that_train_together_learn_the_same(team: Path, base: Path, tmp_path: Path) -> None:
    common = ("--checkpoint", base, "--epochs", "4", "--gate-cases", "0", "--no-compile")
    alone, together = (
        done("finetune", team, "--out", tmp_path / count, *common, "--processes", count) for count in ("1", "2")
    )
    assert together["steps"] == alone["steps"] > 1
    assert together["tokens"] == alone["tokens"]
    # Noise is drawn for a process's own rows: of the denoising loss only the gain is comparable.
    gains = [
        {loss: run["later_commits_before"][loss] - run["later_commits_after"][loss] for loss in ("causal", "denoising")}
        for run in (alone, together)
    ]
    assert gains[0]["causal"] > 0.1
    assert gains[1] == pytest.approx(gains[0], abs=0.02)
    assert done("finetune", team, "--out", tmp_path / "2", *common)["legs"] == 1, "the same run, however many are at it"


def test_all_weights_in_place_of_an_adapter(team: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    command = ("finetune", team, "--out", out, "--checkpoint", base, "--full", "--epochs", "2", "--gate-cases", "1")
    first = done(*command)
    assert first["checkpoint"] == str(out) and first["steps"] > 0
    tuned = json.loads((out / "tuned.json").read_text())
    assert tuned["gate"]["verdict"] == first["gate"]
    assert tuned["data"]["files"].keys() == {"pkg/a.py"}
    assert (out / "report.html").is_file()
    assert not (out / "manifest.json").exists()
    assert done("eval", "holes", team, "--n", "2", "--checkpoint", out)["model"]["name"] == "tuned"
    assert done(*command)["steps"] == first["steps"], "a run that is done is not run again"
    refused = call("adapter", "install", out, "--checkpoint", base)
    assert (refused.exit_code, "cannot read" in last_line(refused)) == (2, True), "it is no adapter"


def test_one_run_in_a_directory(team: Path, base: Path, tmp_path: Path) -> None:
    import fcntl

    out = tmp_path / "adapter"
    command = ("finetune", team, "--out", out, "--checkpoint", base, "--epochs", "1", "--gate-cases", "0")
    (out / WORK).mkdir(parents=True)
    with (out / WORK / LOCK_FILE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = call(*command)
    assert result.exit_code == 2
    assert "--out: another run is at work in" in last_line(result)
    done(*command)
    made = (out / "manifest.json").read_bytes()
    result = call(*command, "--seed", "1")
    assert result.exit_code == 2
    assert "holds a run on other files or with other options" in last_line(result)
    assert (out / "manifest.json").read_bytes() == made


@pytest.mark.parametrize(
    ("verdict", "message"),
    [("same", "the gate found no gain"), ("worse", "the gate refused it"), (None, "has not been measured")],
)
def test_what_is_no_better_is_not_installed(
    base: Path, tmp_path: Path, verdict: Literal["same", "worse"] | None, message: str
) -> None:
    path = write_adapter(tmp_path / "adapter", base, verdict=verdict)
    result = call("adapter", "install", path, "--checkpoint", base)
    assert result.exit_code == 1
    assert message in last_line(result)
    assert done("adapter", "list")["adapters"] == []
    better = write_adapter(tmp_path / "better", base, verdict="better")
    assert done("adapter", "install", better, "--checkpoint", base)["installed"].startswith("team-")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", "."), "--out: it says where the adapter goes"),
        (("finetune", "nowhere", "--dry-run"), "REPO: nowhere is not the top of a git repository"),
        (("adapter", "install", "nowhere"), "adapter: cannot read nowhere/manifest.json: No such file"),
        (("adapter", "use"), "NAME: name an adapter, or give --base, and not both"),
        (("adapter", "use", "nobody"), "NAME: no adapter called nobody is installed"),
        (("adapter", "rollback"), "--workspace: nothing was chosen for all workspaces"),
        (("adapter", "check", "nobody"), "NAME: no adapter called nobody is installed"),
        (("engine", "start", "--adapter", "nobody"), "NAME: no adapter called nobody is installed"),
    ],
)
def test_wrong_input_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert last_line(result).startswith(f"Error: {message}")
