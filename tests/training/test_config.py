"""Configuration files: every key known, every refusal one line that names it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from diffill.training.causal import CausalConfig
from diffill.training.config import dump_config, read_config
from diffill.training.corpus.build import CorpusConfig
from diffill.training.corruption import CorruptionConfig
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
from diffill.training.trainer import TrainConfig

STAGES: dict[str, type[TrainConfig]] = {
    "causal": CausalConfig,
    "edit": EditConfig,
    "order": OrderConfig,
    "policy": PolicyConfig,
}
ROOT = Path(__file__).parent.parent.parent
STAGE = '{"start": "a", "rows": "b", "out": "c", "name": "d", "seconds": 60}'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "stage.json"
    path.write_text(text)
    return path


def test_defaults_fill_what_is_not_said(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, STAGE), JointConfig)
    assert (config.start, config.seconds, config.corruption) == (Path("a"), 60.0, CorruptionConfig())


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, STAGE), JointConfig)
    config = msgspec.structs.replace(config, corruption=CorruptionConfig(block_size=4, noisy_length=16), seed=3)
    path = tmp_path / "run.json"
    path.write_bytes(dump_config(config))
    assert read_config(path, JointConfig) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "stage.json"),
        ("{", "stage.json"),
        ("[]", "stage.json"),
        ("{}", "start"),
        (STAGE.replace("60", '"long"'), "seconds"),
        (STAGE.replace('"a"', "5"), "start"),
        (STAGE.replace("{", '{"colour": 1, '), "colour"),
        (STAGE.replace("{", '{"corruption": {"colour": 1}, '), "colour"),
        (STAGE.replace("{", '{"corruption": {"noisy_length": 12}, '), "noisy_length"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as caught:
        read_config(path, JointConfig)
    assert str(caught.value).startswith(f"config: {path}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config: cannot read .*missing\.json: No such file"):
        read_config(tmp_path / "missing.json", JointConfig)


def test_shipped_stages_are_valid() -> None:
    """Each file in training/configs is one of the known kinds."""
    found = {path.stem: path for path in (ROOT / "training" / "configs").glob("*.json")}
    assert found
    built = {read_config(path, CorpusConfig).out for name, path in found.items() if name.split("-")[-1] == "corpus"}
    for name, path in found.items():
        kind = name.split("-")[-1]
        if name.endswith("edit-rows"):
            read_config(path, EditRowsConfig)
        elif kind == "rows":
            assert read_config(path, PrepareConfig).corpus in built
        elif kind in ("corpus", "fetch"):
            assert all(manifest.stem in found for manifest in read_config(path, CorpusConfig).manifests)
        elif kind in ("edits", "faults"):
            listed = read_config(path, BuildConfig if kind == "edits" else FaultSetConfig)
            named = [listed.manifest] if isinstance(listed, FaultSetConfig) else [listed.histories, listed.releases]
            assert all(manifest is not None and manifest.stem in found for manifest in named)
        elif kind in ("gate", "sweep"):
            read_config(path, GateConfig if kind == "gate" else SweepConfig)
        elif kind == "teams":
            read_config(path, TeamsConfig)
        elif kind not in ("manifest", "plan"):
            read_config(path, STAGES.get(kind, JointConfig))
