"""Checkpoints: what comes back, what is refused and by which name, and that saving never leaves half a model."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from diffill.model import checkpoint as checkpoint_module
from diffill.model.checkpoint import (
    SCALE_SUFFIX,
    WEIGHTS_FILE,
    checkpoint_hash,
    dequantize,
    load_checkpoint,
    quantize_rows,
    save_checkpoint,
    verify,
)
from diffill.model.config import CONFIG_FILE, ModelConfig
from diffill.model.loading import load_network
from diffill.model.tokenizer import TOKENIZER_FILE
from tests.tiny import tiny_checkpoint, tiny_config, tiny_tokenizer, tiny_weights

CONFIG = tiny_config()
WEIGHTS = tiny_weights(CONFIG)


def write(directory: Path, weights: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Path:
    save_checkpoint(directory, config=CONFIG, weights=weights, tokenizer=tiny_tokenizer(), dtype=dtype)
    return directory


def shards(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.safetensors"))


def list_shards(directory: Path, contents: dict[str, bytes]) -> None:
    """Write shards and a list that agrees with them, as someone with bad intentions would."""
    listed = {}
    for name, data in contents.items():
        (directory / name).write_bytes(data)
        listed[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (directory / WEIGHTS_FILE).write_text(json.dumps({"shards": listed}))


def refusal(directory: Path) -> str:
    """The one line with which the directory is refused."""
    with pytest.raises(ValueError) as caught:
        verify(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory) in message
    return message


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_module, "SHARD_BYTES", 60_000)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_what_is_saved_comes_back(tmp_path: Path, small_shards: None, dtype: torch.dtype) -> None:
    directory = write(tmp_path / "deep" / "made", WEIGHTS, dtype)
    assert len(shards(directory)) > 1
    config, stored = load_checkpoint(directory)
    assert config == CONFIG
    back = dequantize(stored)
    assert back.keys() == WEIGHTS.keys()
    for name, weight in WEIGHTS.items():
        if dtype == torch.int8 and weight.dim() == 2:
            rows, scale = quantize_rows(weight)
            assert torch.equal(stored[name], rows)
            assert torch.equal(stored[name + SCALE_SUFFIX], scale)
            assert torch.equal(back[name], rows.float() * scale[:, None])
        else:
            wanted = weight.to(torch.float32 if dtype == torch.int8 else dtype)
            assert stored[name].dtype == wanted.dtype
            assert torch.equal(back[name], wanted)
    verify(directory)
    assert [path.name for path in directory.parent.iterdir()] == ["made"], "nothing is left beside it"


def test_shards_are_small_and_listed(tmp_path: Path, small_shards: None) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    listed = json.loads((directory / WEIGHTS_FILE).read_text())["shards"]
    assert sorted(listed) == [path.name for path in shards(directory)]
    largest = max(weight.nbytes for weight in WEIGHTS.values())
    for path in shards(directory):
        assert listed[path.name]["bytes"] == path.stat().st_size < max(60_000, largest) + 10_000
        assert listed[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_saving_again_replaces_weights_and_keeps_cards(tmp_path: Path, small_shards: None) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    first = checkpoint_hash(directory)
    (directory / "README.md").write_text("card")
    write(directory, tiny_weights(CONFIG, seed=1))
    assert checkpoint_hash(directory) != first
    assert torch.equal(load_checkpoint(directory)[1]["norm.weight"], tiny_weights(CONFIG, seed=1)["norm.weight"])
    listed = json.loads((directory / WEIGHTS_FILE).read_text())["shards"]
    assert sorted(listed) == [path.name for path in shards(directory)], "old shards are gone"
    assert (directory / "README.md").read_text() == "card"
    write(directory, WEIGHTS)
    assert checkpoint_hash(directory) == first, "the same weights have the same name"


@pytest.mark.parametrize("files", range(5))
def test_an_interrupted_save_leaves_the_old_weights(
    tmp_path: Path, small_shards: None, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Stopped after so many files were moved into place."""
    directory = write(tmp_path / "made", WEIGHTS)
    first = checkpoint_hash(directory)
    moved: list[Path] = []
    real = Path.replace

    def stop(self: Path, target: Path) -> Path:
        if len(moved) == files:
            raise KeyboardInterrupt
        moved.append(self)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        write(directory, tiny_weights(CONFIG, seed=1))
    monkeypatch.undo()
    verify(directory)
    assert checkpoint_hash(directory) == first
    assert torch.equal(load_checkpoint(directory)[1]["norm.weight"], WEIGHTS["norm.weight"])
    assert os.listdir(tmp_path) == ["made"]  # noqa: PTH208


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["layers.1.down.weight", "norm.weight"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_not_finite_is_not_saved(tmp_path: Path, name: str, value: float, dtype: torch.dtype) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    before = checkpoint_hash(directory)
    bad = {key: weight.clone() for key, weight in WEIGHTS.items()}
    bad[name].view(-1)[3] = value
    with pytest.raises(ValueError, match=f"weights: {name} .*not finite"):
        write(directory, bad, dtype)
    assert checkpoint_hash(directory) == before
    verify(directory)
    assert os.listdir(tmp_path) == ["made"]  # noqa: PTH208


@pytest.mark.parametrize("name", ["embedding.weight", "norm.weight", "layers.0.qkv.weight.scale"])
def test_not_finite_is_not_loaded(tmp_path: Path, name: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS, torch.int8)
    _, tensors = load_checkpoint(directory)
    if name not in tensors or tensors[name].dtype == torch.int8:
        tensors = {key: weight.clone() for key, weight in WEIGHTS.items()}
    tensors[name].view(-1)[0] = torch.nan
    list_shards(directory, {"weights-01.safetensors": save(tensors)})
    assert f"weights-01.safetensors holds a value in {name} that is not finite" in refusal(directory)


def truncated(data: bytes) -> bytes:
    return data[:-1]


def flipped(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


@pytest.mark.parametrize("damage", [truncated, flipped, lambda data: b"", lambda data: data + b"\0"])
def test_a_damaged_shard_is_named(tmp_path: Path, small_shards: None, damage: Callable[[bytes], bytes]) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    shard = shards(directory)[1]
    shard.write_bytes(damage(shard.read_bytes()))
    assert f"{shard} is truncated or altered" in refusal(directory)


def test_a_missing_shard_is_named(tmp_path: Path, small_shards: None) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    shard = shards(directory)[1]
    shard.unlink()
    assert f"cannot read {shard}: No such file" in refusal(directory)


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    """Else which of them counts would depend on the order of the list."""
    directory = write(tmp_path / "made", WEIGHTS)
    again = save({"norm.weight": torch.zeros(64)})
    list_shards(directory, {"a.safetensors": save(WEIGHTS), "b.safetensors": again})
    assert "b.safetensors repeats the tensor norm.weight" in refusal(directory)


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/hostname", "sub/inside.safetensors", "..", "", "."])
def test_a_shard_outside_the_directory(tmp_path: Path, name: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    (tmp_path / "outside.safetensors").write_bytes(save(WEIGHTS))
    digest = hashlib.sha256(save(WEIGHTS)).hexdigest()
    (directory / WEIGHTS_FILE).write_text(json.dumps({"shards": {name: {"sha256": digest}}}))
    assert "names a shard outside its directory" in refusal(directory)


class Canary:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_pickle_by_another_name_is_never_run(tmp_path: Path, form: str) -> None:
    trace = tmp_path / "trace"
    if form == "torch":
        torch.save({"norm.weight": Canary(trace)}, tmp_path / "canary")
        data = (tmp_path / "canary").read_bytes()
    else:
        data = pickle.dumps(Canary(trace))
    directory = write(tmp_path / "made", WEIGHTS)
    list_shards(directory, {"weights-01.safetensors": data})
    assert "weights-01.safetensors is not a safetensors file" in refusal(directory)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Canary(trace)))
    assert trace.exists(), "the canary itself must work"


def test_other_kinds_of_numbers(tmp_path: Path) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    list_shards(directory, {"a.safetensors": save(WEIGHTS | {"norm.weight": torch.zeros(64, dtype=torch.int64)})})
    assert "a.safetensors holds norm.weight as int64" in refusal(directory)


@pytest.mark.parametrize("change", ["no scale", "short scale", "scale of nothing"])
def test_int8_rows_need_their_scales(tmp_path: Path, change: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS, torch.int8)
    _, tensors = load_checkpoint(directory)
    name = "layers.0.qkv.weight"
    if change == "no scale":
        del tensors[name + SCALE_SUFFIX]
    elif change == "short scale":
        tensors[name + SCALE_SUFFIX] = tensors[name + SCALE_SUFFIX][1:].contiguous()
    else:
        tensors["norm.weight" + SCALE_SUFFIX] = torch.ones(64)
        name = "norm.weight"
    list_shards(directory, {"a.safetensors": save(tensors)})
    assert name in refusal(directory)
    with pytest.raises(ValueError, match=name):
        load_network(directory, device=torch.device("cpu"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"shards": []}', '{"shards": {"a": 1}}', "\0", '{"shards": {"a": {}}}']
)
def test_a_list_of_shards_that_is_none(tmp_path: Path, content: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    (directory / WEIGHTS_FILE).write_text(content)
    assert f"{directory / WEIGHTS_FILE} is not a list of shards" in refusal(directory)


@pytest.mark.parametrize("name", [CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    (directory / name).unlink()
    assert str(directory / name) in refusal(directory)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "unknown key: colour"),
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"hidden_size": 64.0}, "hidden_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"hidden_size": -64}, "hidden_size"),
        ({"num_heads": 3}, "num_heads"),
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
        ({"intermediate_size": 0}, "intermediate_size"),
        ({"head_size": 15}, "head_size"),
        ({"draft_size": -1}, "draft_size"),
        ({"block_size": 0}, "block_size"),
        ({"threshold": 0.0}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"revise_threshold": 1.5}, "revise_threshold"),
        ({"rope_theta": 0.0}, "rope_theta"),
        ({"norm_epsilon": -1.0}, "norm_epsilon"),
        ({"name": 5}, "name"),
    ],
)
def test_a_wrong_configuration_names_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    path = directory / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert message in refusal(directory)
    assert str(path) in refusal(directory)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "\udcff", "[" * 100_000])
def test_a_configuration_that_is_none(tmp_path: Path, content: str) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    path = directory / CONFIG_FILE
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert str(path) in refusal(directory)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    path = directory / CONFIG_FILE
    values = json.loads(path.read_text())
    del values["rope_theta"]
    path.write_text(json.dumps(values))
    assert "rope_theta" in refusal(directory)


def test_a_tokenizer_that_is_none(tmp_path: Path) -> None:
    directory = write(tmp_path / "made", WEIGHTS)
    (directory / TOKENIZER_FILE).write_text("{}")
    assert f"{directory / TOKENIZER_FILE} is not a tokenizer" in refusal(directory)


def test_configuration_reads_what_it_wrote(tmp_path: Path) -> None:
    directory = tiny_checkpoint(tmp_path / "made", config=tiny_config(draft_size=2, threshold=0.5))
    assert ModelConfig.load(directory) == tiny_config(draft_size=2, threshold=0.5)
