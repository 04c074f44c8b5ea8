"""The training loop: it learns, stops, resumes and fails as it says, on a model that fits in a second."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from click.testing import CliRunner

from diffill.cli.train import train
from diffill.model.checkpoint import checkpoint_hash, load_checkpoint, save_checkpoint, verify
from diffill.model.config import ModelConfig
from diffill.training import joint as joint_module
from diffill.training import trainer as trainer_module
from diffill.training.causal import CausalConfig, CausalStage
from diffill.training.corruption import CorruptionConfig
from diffill.training.joint import JointConfig, JointStage
from diffill.training.packing import Rows, pack, save_rows
from diffill.training.stage import Losses
from diffill.training.trainer import Interrupted, Trainer
from tests.tiny import tiny_checkpoint, tiny_config, tiny_tokenizer, tiny_weights
from tests.training.packed import random_example

CORRUPTION = CorruptionConfig(block_size=4, noisy_length=32)
SMALL = {"hidden_size": 32, "num_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48}


def memorisable_rows(count: int = 8) -> Rows:
    generator = random.Random(0)
    examples = [random_example(generator, 16) for _ in range(200)]
    rows = pack(examples, 64)
    return Rows(tokens=rows.tokens[:count], document=rows.document[:count], middle=rows.middle[:count])


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., JointConfig]:
    """A stage over a few rows, which are also the held-out ones."""
    tiny_checkpoint(tmp_path / "start", dtype=torch.float32, config=tiny_config(**SMALL))
    save_rows(tmp_path / "rows" / "train-00-000", memorisable_rows())
    save_rows(tmp_path / "rows" / "held-out", memorisable_rows())

    def made(**changes: Any) -> JointConfig:
        values: dict[str, Any] = {
            "start": tmp_path / "start",
            "rows": tmp_path / "rows",
            "out": tmp_path / "out",
            "name": "learned",
            "seconds": 1e6,
            "max_steps": 2,
            "warmup_steps": 2,
            "corruption": CORRUPTION,
        }
        return JointConfig(**(values | changes))

    return made


Stage = Callable[..., JointConfig]


def joint_trainer(config: JointConfig) -> Trainer:
    return Trainer(config, JointStage(config))


class Clock:
    """Stands in for the module's clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1e-3  # looking takes time too
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(trainer_module, "time", made)
    return made


def metrics(config: JointConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (config.out / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_it_learns_what_it_sees(stage: Stage) -> None:
    config = stage(max_steps=60, learning_rate=1e-2, decay_share=0.5)
    last = joint_trainer(config).run()
    records = metrics(config)
    before, after = records[0]["held_out"], records[-1]["held_out"]
    assert records[-1] == last
    assert after["causal"] < before["causal"] - 1.0
    assert after["denoising"] < before["denoising"] - 1.0
    steps = [record for record in records if "causal" in record]
    assert [record["step"] for record in steps] == list(range(1, 61))
    assert last["tokens"] == steps[-1]["tokens"] == 60 * 4 * (64 + 32)
    assert steps[0]["learning_rate"] == pytest.approx(0.5e-2)  # half of the warm-up
    assert steps[-1]["learning_rate"] < 1e-3  # nearly all of the decay
    for record in steps:
        assert record.keys() == {
            "step", "tokens", "causal", "denoising", "learning_rate", "gradient_norm", "elapsed", "progress",
            "tokens_per_second",
        }  # fmt: skip
    model_config, weights = load_checkpoint(config.out)
    assert model_config == dataclasses.replace(tiny_config(**SMALL), name="learned", block_size=4)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    verify(config.out)


def test_the_stage_is_written_beside_its_weights(stage: Stage) -> None:
    config = stage(max_steps=1)
    joint_trainer(config).run()
    written = json.loads((config.out / "run.json").read_text())
    assert written["start"] == str(config.start)
    assert written["corruption"]["block_size"] == 4
    assert written["weight_decay"] == 0.0, "defaults are written too"
    assert sorted(written) == sorted(field.name for field in msgspec.structs.fields(JointConfig))


def test_it_stops_by_the_clock(stage: Stage, clock: Clock) -> None:
    """And measures and saves on the way."""
    config = stage(seconds=100.0, max_steps=1_000_000, evaluate_every=45.0, decay_share=1.0, warmup_steps=1)
    saved: list[str] = []

    def show(record: dict[str, Any]) -> None:
        clock.now += 20.0
        if (config.out / "weights.json").exists():
            saved.append(checkpoint_hash(config.out))

    last = joint_trainer(config).run(show)
    assert last["step"] == 5
    steps = [record for record in metrics(config) if "causal" in record]
    assert [record["progress"] for record in steps] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8], abs=1e-3)
    rates = [record["learning_rate"] for record in steps]
    assert rates == pytest.approx([3e-4 * left for left in (1.0, 0.8, 0.6, 0.4, 0.2)], rel=1e-2)
    assert [record["step"] for record in metrics(config) if "held_out" in record] == [0, 3, 5]
    assert saved and saved[-1] != checkpoint_hash(config.out)


def test_it_resumes_from_its_own_weights(stage: Stage) -> None:
    first = joint_trainer(stage(max_steps=20, learning_rate=1e-2))
    first.run()
    before = checkpoint_hash(first.config.out)
    again = joint_trainer(stage(start=first.config.out, max_steps=20, learning_rate=1e-2, seed=1))
    assert all(torch.equal(*pair) for pair in zip(again.model.parameters(), first.model.parameters(), strict=True))
    again.run()
    assert checkpoint_hash(again.config.out) != before
    held_out = [record["held_out"] for record in metrics(again.config) if "held_out" in record]
    assert len(held_out) == 4, "the second run writes behind the first"
    assert held_out[2] == held_out[1]
    assert held_out[3]["causal"] < held_out[2]["causal"]


def test_same_seed_same_weights(stage: Stage, tmp_path: Path) -> None:
    hashes = []
    for number, seed in enumerate((0, 0, 1)):
        config = stage(out=tmp_path / f"out{number}", seed=seed)
        joint_trainer(config).run()
        hashes.append(checkpoint_hash(config.out))
    assert hashes[0] == hashes[1] != hashes[2]


def test_accumulated_passes_are_one_step(stage: Stage, tmp_path: Path) -> None:
    states = []
    for parts in (1, 4):
        trainer = joint_trainer(stage(max_steps=3, micro_batches=parts, out=tmp_path / f"out{parts}"))
        last = trainer.run()
        assert last["step"] == 3
        assert last["tokens"] == 3 * 4 * (64 + 32)
        states.append(torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()]))
    start = torch.cat([weight.flatten() for weight in tiny_weights(tiny_config(**SMALL)).values()])
    moved = [(state - start) for state in states]
    assert not torch.equal(states[0], states[1])  # other corruptions
    assert float(torch.nn.functional.cosine_similarity(moved[0], moved[1], dim=0)) > 0.5


def test_gradients_do_not_pile_up(stage: Stage) -> None:
    trainer = joint_trainer(stage())
    trainer.run()
    left = [name for name, weight in trainer.model.named_parameters() if weight.grad is not None and weight.grad.any()]
    assert left == []


@pytest.mark.parametrize("kind", [Interrupted, KeyboardInterrupt])
def test_interrupted_it_keeps_what_it_learned(stage: Stage, kind: type[BaseException]) -> None:
    config = stage(max_steps=50)

    def stop(record: dict[str, Any]) -> None:
        if record["step"] == 3:
            raise kind

    trainer = joint_trainer(config)
    assert trainer.run(stop)["step"] == 3
    _, weights = load_checkpoint(config.out)
    assert torch.equal(weights["norm.weight"], trainer.model.norm.weight.detach())


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_stops_the_run(stage: Stage, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    config = stage(max_steps=50, seed=7)
    trainer = joint_trainer(config)
    real = joint_module.joint_loss
    good: dict[str, torch.Tensor] = {}

    def poisoned(model: Any, *rest: Any, **weights: float) -> Losses:
        losses = real(model, *rest, **weights)
        if trainer.step < 4 or not torch.is_grad_enabled():
            return losses
        good.update({name: tensor.clone() for name, tensor in model.state_dict().items()})
        if broken == "loss":
            return Losses(total=losses.total, parts={"causal": losses.parts["causal"] * torch.nan})
        return Losses(total=losses.total + (model.norm.weight[0] * 0.0).sqrt(), parts=losses.parts)

    monkeypatch.setattr(joint_module, "joint_loss", poisoned)
    with pytest.raises(ValueError, match=r"not finite at step 4: rows 16 to 19 of the stage's order, seed 7") as caught:
        trainer.run()
    assert "\n" not in str(caught.value)
    _, weights = load_checkpoint(config.out)
    assert good.keys() == weights.keys()
    assert all(torch.equal(weights[name], good[name]) for name in good)


def test_weights_that_are_not_finite_never_replace_good_ones(stage: Stage) -> None:
    joint_trainer(stage()).run()
    trainer = joint_trainer(stage(max_steps=9))
    before = checkpoint_hash(trainer.config.out)
    with torch.no_grad():
        trainer.model.norm.weight[0] = torch.inf
    with pytest.raises(ValueError, match="not finite at step 0"):
        trainer.run()
    assert checkpoint_hash(trainer.config.out) == before
    verify(trainer.config.out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seconds": 0.0}, "seconds: 0.0 is not positive"),
        ({"seconds": float("nan")}, "seconds: nan is not positive"),
        ({"max_steps": 0}, "max_steps: 0 is not positive"),
        ({"micro_batches": 0}, "micro_batches: 0 is not positive"),
        ({"rows_per_step": 0}, "rows_per_step: 0 is not positive"),
        ({"micro_batches": 3}, "rows_per_step: 4 is not a multiple of micro_batches 3"),
        ({"device": "abacus"}, "device: 'abacus' is not one of"),
        ({"start": Path("nowhere")}, "checkpoint: cannot read nowhere"),
        ({"rows": Path("nowhere")}, r"rows: nowhere holds no train-\* shard"),
    ],
)
def test_a_wrong_stage_is_named(stage: Stage, change: dict[str, Any], message: str) -> None:
    config = stage(**change)
    with pytest.raises(ValueError, match=message):
        joint_trainer(config)
    assert not config.out.exists()


def test_start_weights_of_another_shape(stage: Stage) -> None:
    config = stage()
    stored, _ = load_checkpoint(config.start)
    other = tiny_weights(tiny_config(**SMALL, num_layers=3))
    save_checkpoint(config.start, config=stored, weights=other, tokenizer=tiny_tokenizer(), dtype=torch.float32)
    with pytest.raises(ValueError, match=r"start: .* weights of another shape") as caught:
        joint_trainer(config)
    assert "\n" not in str(caught.value)


def test_without_held_out_rows(stage: Stage, tmp_path: Path) -> None:
    save_rows(tmp_path / "bare" / "train-00-000", memorisable_rows())
    assert joint_trainer(stage(rows=tmp_path / "bare")).run()["held_out"] == {}


@pytest.fixture
def signals() -> Iterator[None]:
    """The command catches these for its process, which here is the test's."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def as_json(config: JointConfig, **changes: Any) -> str:
    return json.dumps({**json.loads(msgspec.json.encode(config, enc_hook=str)), **changes})


def test_command_trains_and_exports(stage: Stage, tmp_path: Path, signals: None) -> None:
    path = tmp_path / "stage.json"
    path.write_text(as_json(stage()))
    result = CliRunner().invoke(train, ["joint", "--config", str(path), "--seconds", "3600"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["step"] == 2
    assert json.loads((tmp_path / "out" / "run.json").read_text())["seconds"] == 3600.0
    shipped = tmp_path / "int8"
    result = CliRunner().invoke(
        train, ["export", "--checkpoint", str(tmp_path / "out"), "--out", str(shipped), "--name", "shipped"]
    )
    assert result.exit_code == 0, result.output
    verify(shipped)
    assert ModelConfig.load(shipped).name == "shipped"
    assert load_checkpoint(shipped)[1]["layers.0.qkv.weight"].dtype == torch.int8


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"colour": "red"}, "colour"), ({"seconds": "long"}, "seconds"), ({"corruption": {"size": 4}}, "size")],
)
def test_command_refuses_in_one_line(
    stage: Stage, tmp_path: Path, signals: None, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "stage.json"
    path.write_text(as_json(stage(), **changes))
    result = CliRunner().invoke(train, ["joint", "--config", str(path)])
    assert result.exit_code == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: config: ")
    assert message in last
    assert not (tmp_path / "out").exists()


def test_a_resumed_stage_goes_on_where_it_stopped(stage: Stage) -> None:
    """Rows and masks of the second leg are those that one long leg would have drawn."""
    whole = joint_trainer(stage(max_steps=4))
    first = joint_trainer(stage(max_steps=2))
    first.run()
    second = joint_trainer(stage(start=first.config.out, max_steps=2))
    for step in range(2):
        for one, other in zip(second._work(step).batches, whole._work(step + 2).batches, strict=True):
            assert torch.equal(one.tokens, other.tokens)
    assert not torch.equal(second._work(0).batches[0].tokens, first._work(0).batches[0].tokens)
    second.run()
    assert json.loads((second.config.out / "history.json").read_text()) == {
        "stage": "joint", "legs": 2, "steps": 4, "rows": 16, "tokens": 4 * 4 * (64 + 32),
    }  # fmt: skip


def test_another_stage_starts_anew(stage: Stage, tmp_path: Path) -> None:
    first = joint_trainer(stage())
    first.run()
    config = CausalConfig(
        start=first.config.out, out=tmp_path / "causal", rows=first.config.rows, name="a", seconds=1e6, max_steps=1
    )
    trainer = Trainer(config, CausalStage(config))
    assert (trainer.before.steps, trainer.before.rows) == (0, 0)
    trainer.run()
    assert ModelConfig.load(config.out).block_size == 4, "a causal stage leaves decoding as it was"
