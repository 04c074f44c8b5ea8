"""Stage C: what its batches are made of, the model's own guesses in them, and that labels are learned."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffill.model.checkpoint import load_checkpoint
from diffill.model.tokenizer import DELETE, INSERT, MASK, NUM_CONTROL_IDS, UPDATED
from diffill.training.corruption import CorruptionConfig
from diffill.training.edit import EditConfig, EditStage, with_own_guesses
from diffill.training.edit_corruption import OWN_GUESS, EditCorruptionConfig
from diffill.training.loss import hidden_states
from diffill.training.packing import pack, save_rows
from diffill.training.stage import Turn
from diffill.training.trainer import Trainer
from tests.tiny import tiny_checkpoint, tiny_config, tiny_transformer
from tests.training.packed import random_edit, random_rows

SMALL = {"hidden_size": 32, "num_heads": 2, "num_key_value_heads": 1, "intermediate_size": 48}
LENGTH = 64


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., EditConfig]:
    generator = random.Random(0)
    tiny_checkpoint(tmp_path / "start", dtype=torch.float32, config=tiny_config(**SMALL))
    rows = random_rows(0, length=LENGTH, examples=120, longest=16)
    save_rows(tmp_path / "rows" / "train-000", rows)
    save_rows(tmp_path / "rows" / "held-out", rows)
    save_rows(tmp_path / "edits" / "train-000", pack([random_edit(generator, 10) for _ in range(60)], LENGTH))

    def made(**changes: Any) -> EditConfig:
        values: dict[str, Any] = {
            "start": tmp_path / "start",
            "rows": tmp_path / "rows",
            "edits": tmp_path / "edits",
            "out": tmp_path / "out",
            "name": "edited",
            "seconds": 1e6,
            "max_steps": 2,
            "held_out_rows": 8,
            "corruption": CorruptionConfig(block_size=4, noisy_length=32),
            "drafts": EditCorruptionConfig(block_size=4, noisy_length=32, lookahead=8),
        }
        return EditConfig(**(values | changes))

    return made


def turn(rows: int, step: int = 0) -> Turn:
    return Turn(step=step, first_row=step * rows, rows=rows, generator=np.random.default_rng(step))


def test_half_of_the_rows_are_those_of_stage_b(stage: Callable[..., EditConfig]) -> None:
    batch = EditStage(stage()).batch(turn(8))
    noisy = batch.tokens[:, batch.clean_length :]
    assert batch.tokens.shape == (8, LENGTH + 32)
    assert (batch.tokens[:, : batch.clean_length] == UPDATED).any(dim=1).tolist() == [False] * 6 + [True] * 2
    labels = (batch.target[:, batch.clean_length :] == DELETE) | (batch.target[:, batch.clean_length :] == INSERT)
    assert not labels[:4].any()
    assert labels[4:6].any()
    assert labels[6:].any()
    assert (noisy[:4] == MASK).float().mean() > 0.5


def test_resumed_batches_go_on_through_both_kinds_of_rows(stage: Callable[..., EditConfig]) -> None:
    made = EditStage(stage())
    one, two = made.batch(turn(4, 0)), made.batch(turn(4, 1))
    assert not torch.equal(one.tokens[:, :LENGTH], two.tokens[:, :LENGTH])
    again = EditStage(stage()).batch(turn(4, 1))
    assert torch.equal(two.tokens, again.tokens)


def test_guesses_are_the_models_own_and_likely(stage: Callable[..., EditConfig]) -> None:
    config = stage(drafts=EditCorruptionConfig(block_size=4, noisy_length=32, at_least_one=1.0, own_guesses=1.0))
    batch = EditStage(config).batch(turn(8))
    places = batch.tokens == OWN_GUESS
    assert places.any()
    model = tiny_transformer(tiny_config(**SMALL))
    filled = with_own_guesses(model, batch, hidden_states, count=1)
    assert (filled.tokens[places] >= NUM_CONTROL_IDS).all()
    assert torch.equal(filled.tokens[~places], batch.tokens[~places])
    again = with_own_guesses(model, batch, hidden_states, count=1)
    assert torch.equal(filled.tokens, again.tokens), "of one likeliest token there is no choice"


def test_it_learns_labels(stage: Callable[..., EditConfig]) -> None:
    config = stage(max_steps=60, learning_rate=1e-2, warmup_steps=5, rows_per_step=8)
    trainer = Trainer(config, EditStage(config))
    batch = EditStage(stage(noise_share=0.0, pair_share=0.5)).batch(turn(8, 3))
    with torch.no_grad():
        before = EditStage(config).loss(trainer.model, batch, hidden_states).parts["denoising"]
    trainer.run()
    with torch.no_grad():
        after = EditStage(config).loss(trainer.model, batch, hidden_states).parts["denoising"]
    assert after < 0.8 * before
    decoded_with, _ = load_checkpoint(config.out)
    assert decoded_with.edit_threshold is not None
    assert decoded_with.block_size == 4


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"pair_share": 0.4, "noise_share": 0.2}, "less than half"),
        ({"pair_share": -0.1}, "not negative"),
        ({"drafts": EditCorruptionConfig(block_size=4, noisy_length=64)}, "noisy_length"),
    ],
)
def test_impossible_mixtures_are_refused(stage: Callable[..., EditConfig], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EditStage(stage(**changes))


def test_rows_of_another_length_are_refused(stage: Callable[..., EditConfig], tmp_path: Path) -> None:
    save_rows(tmp_path / "longer" / "train-000", pack([random_edit(random.Random(0), 10)], 2 * LENGTH))
    with pytest.raises(ValueError, match="another length"):
        EditStage(stage(edits=tmp_path / "longer"))
