"""The configurations and plans in the repository are ones that the commands accept."""

from __future__ import annotations

import json
from pathlib import Path

import click
import msgspec
import pytest

from diffill.cli.bench import bench
from diffill.cli.main import COMMANDS
from diffill.training.causal import CausalConfig
from diffill.training.config import read_config
from diffill.training.corpus.build import CorpusConfig
from diffill.training.edit import EditConfig
from diffill.training.edit_examples import EditRowsConfig
from diffill.training.edits.build import BuildConfig
from diffill.training.edits.fault_set import FaultSetConfig
from diffill.training.evaluation.gate import GateConfig
from diffill.training.evaluation.sweep import SweepConfig
from diffill.training.finetune.teams import TeamsConfig
from diffill.training.joint import JointConfig
from diffill.training.on_policy import PolicyConfig
from diffill.training.order import OrderConfig
from diffill.training.prepare import PrepareConfig
from diffill.training.remote.plan import read_plan

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
KINDS: dict[str, type[msgspec.Struct]] = {
    "first.json": JointConfig,
    "first-resumed.json": JointConfig,
    "first-rows.json": PrepareConfig,
    "gpu-rows.json": PrepareConfig,
    "gpu-causal.json": CausalConfig,
    "gpu-joint.json": JointConfig,
    **dict.fromkeys(("edit.json", "gpu-edit.json", "second-edit.json"), EditConfig),
    **dict.fromkeys(("edit-rows.json", "gpu-edit-rows.json", "second-edit-rows.json"), EditRowsConfig),
    **dict.fromkeys(("order.json", "gpu-order.json"), OrderConfig),
    **dict.fromkeys(("policy.json", "gpu-policy.json"), PolicyConfig),
    "corpus.json": CorpusConfig,
    "first-corpus.json": CorpusConfig,
    "held-out-fetch.json": CorpusConfig,
    "edits.json": BuildConfig,
    "held-out-faults.json": FaultSetConfig,
    "gate.json": GateConfig,
    "cpu-gate.json": GateConfig,
    "sweep.json": SweepConfig,
    "teams.json": TeamsConfig,
}
PACKED: dict[str, type[msgspec.Struct]] = {"pack": PrepareConfig, "pack-edits": EditRowsConfig}
STAGES = ("causal", "joint", "edit", "order", "policy")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_committed_configuration_is_read(name: str) -> None:
    read_config(CONFIGS / name, KINDS[name])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*-plan.json")), ids=lambda path: path.name)
def test_a_committed_plan_names_what_is_there(path: Path) -> None:
    for step in read_plan(path):
        assert step[0] in COMMANDS or step[:2] == ["-m", "pytest"]
        if step[0] == "bench":
            bench.make_parser(click.Context(bench)).parse_args(step[1:])  # what it names is not there yet
        for argument in step:
            if argument.startswith(("training/configs/", "tests/")):
                assert (CONFIGS.parents[1] / argument).exists()


@pytest.mark.parametrize("stage", STAGES)
def test_the_legs_of_a_run_fit_together(stage: str) -> None:
    """Weights come from where pieces are joined, rows from where they are packed, and what was trained gets out."""
    config = json.loads((CONFIGS / f"gpu-{stage}.json").read_text("utf-8"))
    join, *waits, train, export, split = read_plan(CONFIGS / f"gpu-{stage}-plan.json")
    assert join == ["remote", "join", "runs/start-pieces", "--out", config["start"]]
    plans = [wait[2].removeprefix("runs/") for wait in waits]
    steps = [step for plan in plans for step in read_plan(CONFIGS / f"gpu-{plan}.json")]
    packed = [read_config(CONFIGS / Path(step[-1]).name, PACKED[step[1]]) for step in steps if step[1] in PACKED]
    assert {str(msgspec.structs.asdict(rows)["out"]) for rows in packed} >= {
        config[key] for key in ("rows", "edits") if key in config
    }
    assert train == ["train", stage, "--config", f"training/configs/gpu-{stage}.json", "--seconds", "{seconds_left}"]
    assert export[2:4] == ["--checkpoint", config["out"]]
    assert split[2] == export[export.index("--out") + 1]
