"""Stages D and E: their states and weights, the guard, what the frozen head verifies, and that passes get fewer."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffill.model.tokenizer import MASK
from diffill.model.torch_network import TorchNetwork
from diffill.training.batch import Batch, normalised
from diffill.training.loss import hidden_states, stream_states
from diffill.training.on_policy import Guard, PolicyConfig, PolicyStage, verify
from diffill.training.order import OrderConfig, OrderStage, entropy_where_right, state_of
from diffill.training.packing import Rows, pack, save_rows
from diffill.training.rollout import NEVER, CleanContext, roll_out
from diffill.training.stage import Turn
from diffill.training.trainer import Trainer
from diffill.training.trajectories import Trajectory
from tests.tiny import tiny_checkpoint, tiny_config, tiny_transformer
from tests.training.packed import random_example

SIZE, LENGTH = 4, 48
SMALL = {"hidden_size": 32, "num_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48}
CONFIG = tiny_config(**SMALL)


def few_rows() -> Rows:
    """Little enough to be learned by heart."""
    generator = random.Random(0)
    rows = pack([random_example(generator, 12) for _ in range(60)], LENGTH)
    return Rows(tokens=rows.tokens[:4], document=rows.document[:4], middle=rows.middle[:4])


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    tiny_checkpoint(tmp_path / "start", dtype=torch.float32, config=CONFIG)
    for name in ("train-000", "held-out"):
        save_rows(tmp_path / "rows" / name, few_rows())
    return {
        "start": tmp_path / "start",
        "rows": tmp_path / "rows",
        "out": tmp_path / "out",
        "name": "fewer",
        "seconds": 1e6,
        "max_steps": 50,
        "learning_rate": 1e-2,
        "warmup_steps": 5,
        "held_out_rows": 4,
        "prefetch": 0,
        "block_size": SIZE,
        "noisy_length": 24,
    }


def masked_batch(stage: OrderStage | PolicyStage) -> Batch:
    turn = Turn(step=0, first_row=0, rows=4, generator=np.random.default_rng(0))
    return normalised([stage.batch(turn)])[0]


def test_a_state_is_learned_where_it_is_open_and_likely(values: dict[str, Any]) -> None:
    config = OrderConfig(**values, horizon=1, later_weight=0.25, likely_share=0.5)
    batch = masked_batch(OrderStage(config))
    clean, blocks = batch.clean_length, 24 // SIZE
    order = torch.arange(SIZE).repeat(4, blocks)  # left to right
    likelihood = torch.arange(float(4 * blocks)).view(4, blocks)
    trajectory = Trajectory(order=order, passes=torch.full((4, blocks), SIZE), log_likelihood=likelihood)
    state = state_of(batch, trajectory, torch.full((4, blocks), 2), config)
    noisy = state.tokens[:, clean:].view(4, blocks, SIZE)
    truth = batch.target[:, clean:].view(4, blocks, SIZE)
    assert torch.equal(noisy[:, :, :2], truth[:, :, :2])
    assert (noisy[:, :, 2:] == MASK).all()
    weight, before = state.weight[:, clean:].view(4, blocks, SIZE), batch.weight[:, clean:].view(4, blocks, SIZE)
    assert not weight[:, :, :2].any(), "what is placed is not asked for"
    assert not weight[:2].any(), "the unlikelier half of the blocks"
    assert weight.sum() == pytest.approx(float(before.sum())), "the batch weighs in its step as before"
    learned = (before[2:, :, 2] > 0) & (before[2:, :, 2] == before[2:, :, 3])
    torch.testing.assert_close(weight[2:, :, 3][learned], 0.25 * weight[2:, :, 2][learned])
    assert torch.equal(state.weight[:, :clean], batch.weight[:, :clean])


def test_entropy_counts_where_the_model_is_right(values: dict[str, Any]) -> None:
    model = tiny_transformer(CONFIG)
    batch = masked_batch(OrderStage(OrderConfig(**values)))
    hidden = stream_states(model, batch)
    logits = model.logits(hidden)
    logits[:, :, MASK] = -1e30
    best = logits.argmax(dim=-1)
    target = torch.where(
        torch.arange(best.shape[1]) % 2 == 0, best, batch.target
    )  # a random model is hardly ever right
    batch = dataclasses.replace(batch, target=target)
    expected = sum(
        float(batch.weight[row, at]) * float(torch.distributions.Categorical(logits=logits[row, at]).entropy())
        for row in range(len(best))
        for at in range(batch.clean_length, best.shape[1])
        if best[row, at] == batch.target[row, at]
    )
    assert expected > 0
    assert float(entropy_where_right(model, batch, hidden)) == pytest.approx(expected, rel=1e-4)


def test_verified_is_what_the_causal_head_might_have_said(values: dict[str, Any]) -> None:
    """Token for token against the decoder's own network."""
    model, batch = tiny_transformer(CONFIG), masked_batch(PolicyStage(PolicyConfig(**values)))
    said = roll_out(CleanContext(model, batch), block_size=SIZE, threshold=0.05)
    verdict = verify(model, batch, said, accepted=0.1)
    network, clean, seen = TorchNetwork(model, device=torch.device("cpu")), batch.clean_length, set()
    for row, block in itertools.product(range(4), range(24 // SIZE)):
        start = int(batch.layout.order[row, clean + block * SIZE])
        document = batch.layout.document[row, :clean]
        if document[start] < 0:
            continue
        first = int((document == document[start]).nonzero()[0])
        tokens = said.tokens[row, block * SIZE : (block + 1) * SIZE].tolist()
        text = [*batch.tokens[row, first:start].tolist(), *tokens]
        logits = model.logits(network.step(network.new_cache(), text[:-1]))[-SIZE:]
        logits[:, MASK] = -torch.inf
        log_p = logits.log_softmax(dim=-1)
        own = log_p.gather(1, torch.tensor(tokens)[:, None])[:, 0]
        expected = (own >= log_p.amax(dim=1) + log(0.1)).tolist()
        assert verdict.verified[row, block * SIZE : (block + 1) * SIZE].tolist() == expected
        seen.update(expected)
    assert seen == {True, False}


def test_the_guard_lets_go_of_speed_when_quality_falls() -> None:
    guard = Guard(tolerance=0.02, first=2, memory=0.5)
    held = []
    for verified in (0.8, 0.9, 0.85, 0.84, 0.7, 0.7, 0.9, 0.95):
        guard.see(verified)
        held.append(guard.holds)
    assert guard.base == pytest.approx(0.85)
    assert held == [False, True, True, True, False, False, False, True]


@pytest.mark.parametrize("made", [(OrderConfig, OrderStage), (PolicyConfig, PolicyStage)], ids=["order", "policy"])
def test_passes_get_fewer(values: dict[str, Any], made: tuple[Callable[..., Any], Callable[..., Any]]) -> None:
    """On text that can be learned by heart; the trainer runs it, saves it and measures it."""
    kind, stage = made
    if kind is PolicyConfig:  # its labels are the model's own, so it starts from one that knows something
        learned = OrderConfig(**values | {"max_steps": 60, "certainty_weight": 0.0})
        Trainer(learned, OrderStage(learned)).run()
        values |= {"start": values["out"], "out": values["out"] / "policy", "tolerance": 1.0, "first_batches": 1}
        values |= {"max_steps": 30, "learning_rate": 3e-3, "distillation_weight": 0.0}
    config = kind(**values)
    trainer = Trainer(config, stage(config))
    batch = masked_batch(PolicyStage(PolicyConfig(**values)))

    def tokens_a_pass() -> float:
        said = roll_out(CleanContext(trainer.model, batch), block_size=SIZE, threshold=0.8)
        return float((said.order != NEVER).sum() / said.passes.sum())

    before = tokens_a_pass()
    last = trainer.run()
    assert tokens_a_pass() > 1.05 * before
    names = {OrderConfig: {"entropy", "passes"}, PolicyConfig: {"verified", "right", "tokens_per_pass"}}[kind]
    assert names <= last["held_out"].keys()


def test_a_batch_counts_by_its_share_of_the_step(values: dict[str, Any]) -> None:
    """Measured in two halves, the numbers are those of the whole."""
    stage = PolicyStage(PolicyConfig(**values))
    model = tiny_transformer(CONFIG)
    whole = masked_batch(stage)
    half = normalised([whole, whole])
    with torch.no_grad():
        one = sum(float(stage.loss(model, batch, hidden_states).parts["verified"]) for batch in half)
        two = float(stage.loss(model, whole, hidden_states).parts["verified"])
    assert one == pytest.approx(two)


@pytest.mark.parametrize(
    "kind, changes, name",
    [
        (OrderConfig, {"likely_share": 0.0}, "likely_share"),
        (OrderConfig, {"candidates": 0}, "candidates"),
        (PolicyConfig, {"accepted": 1.5}, "accepted"),
        (PolicyConfig, {"first_batches": 0}, "first_batches"),
    ],
)
def test_impossible_configurations_name_the_key(
    values: dict[str, Any], kind: Callable[..., Any], changes: dict[str, Any], name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        kind(**values | changes)
