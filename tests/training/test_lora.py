"""LoRA through the trainer of every stage: only the factors are learned, saved and gone on with."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import nn

from diffill.model.checkpoint import load_checkpoint
from diffill.training.corruption import CorruptionConfig
from diffill.training.joint import JointConfig, JointStage
from diffill.training.lora import FACTORS_FILE, LoraConfig, LoraLinear, LoraWeights, factors
from diffill.training.packing import pack, save_rows
from diffill.training.trainer import Trainer
from tests.tiny import tiny_checkpoint, tiny_config
from tests.training.packed import random_example

LORA = LoraConfig(rank=4, alpha=8.0)


@pytest.fixture
def config(tmp_path: Path) -> JointConfig:
    small = tiny_config(hidden_size=32, num_heads=2, num_key_value_heads=1, intermediate_size=48)
    tiny_checkpoint(tmp_path / "start", dtype=torch.float32, config=small)
    generator = random.Random(0)
    rows = pack([random_example(generator, 16) for _ in range(40)], 64)
    save_rows(tmp_path / "rows" / "train-000", rows)
    save_rows(tmp_path / "rows" / "held-out", rows)
    return JointConfig(
        start=tmp_path / "start", rows=tmp_path / "rows", out=tmp_path / "out", name="team", seconds=1e6, max_steps=30,
        warmup_steps=2, learning_rate=3e-2, held_out_rows=4, corruption=CorruptionConfig(block_size=4, noisy_length=32),
    )  # fmt: skip


def trainer(config: JointConfig, resumed_from: Path | None = None) -> Trainer:
    return Trainer(config, JointStage(config), LoraWeights(LORA, resumed_from))


def test_a_layer_starts_as_its_base() -> None:
    base = nn.Linear(8, 6, bias=False)
    layer = LoraLinear(base, LORA)
    x = torch.randn(3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(x), base(x))
    nn.init.normal_(layer.lora_b)
    change = 2.0 * layer.lora_b @ layer.lora_a
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x).float()
    torch.testing.assert_close(found, x @ (base.weight + change).T, rtol=5e-2, atol=2e-1)


def test_only_the_factors_learn(config: JointConfig) -> None:
    run = trainer(config)
    before = run.evaluate()
    last = run.run()
    assert last["held_out"]["causal"] < before["causal"] - 0.2
    assert last["held_out"]["denoising"] < before["denoising"]
    trained = {name for name, parameter in run.model.named_parameters() if parameter.requires_grad}
    assert trained == set(factors(run.model)) and len(trained) == 2 * 4 * 2
    _, stored = load_checkpoint(config.start)
    assert torch.equal(run.model.embedding.weight, stored["embedding.weight"])
    assert torch.equal(run.model.norm.weight, stored["norm.weight"])
    assert torch.equal(run.model.layers[0].down.weight, stored["layers.0.down.weight"].bfloat16())
    assert sorted(path.name for path in config.out.iterdir()) == [
        "factors.safetensors", "history.json", "metrics.jsonl", "run.json",
    ]  # fmt: skip


def test_a_second_leg_goes_on(config: JointConfig) -> None:
    first = trainer(config)
    first.run()
    second = trainer(config, config.out)
    assert (second.before.steps, second.before.rows) == (30, 120)
    for name, tensor in factors(first.model).items():
        assert torch.equal(tensor, factors(second.model)[name])
    assert second.evaluate() == first.evaluate()


def test_broken_factors_are_named(config: JointConfig) -> None:
    config.out.mkdir()
    (config.out / FACTORS_FILE).write_bytes(b"no")
    with pytest.raises(ValueError, match=r"out: .*factors\.safetensors is not a safetensors file"):
        trainer(config, config.out)


def test_factors_that_are_not_finite_never_replace_good_ones(config: JointConfig) -> None:
    run = trainer(config)
    run.run()
    good = (config.out / FACTORS_FILE).read_bytes()
    with torch.no_grad():
        run.model.layers[0].down.lora_b[0, 0] = torch.inf
    with pytest.raises(ValueError, match="not finite"):
        run.save()
    assert (config.out / FACTORS_FILE).read_bytes() == good
