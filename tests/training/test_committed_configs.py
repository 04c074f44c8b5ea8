"""The configurations and plans in the repository are ones that the commands accept."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from diffill.cli.main import COMMANDS
from diffill.training.causal import CausalConfig
from diffill.training.config import read_config
from diffill.training.joint import JointConfig
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
}


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_committed_configuration_is_read(name: str) -> None:
    read_config(CONFIGS / name, KINDS[name])


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*-plan.json")), ids=lambda path: path.name)
def test_a_committed_plan_names_what_is_there(path: Path) -> None:
    for step in read_plan(path):
        assert step[0] in COMMANDS
        for argument in step:
            if argument.startswith("training/configs/"):
                assert (CONFIGS.parents[1] / argument).is_file()
