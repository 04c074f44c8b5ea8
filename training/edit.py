"""Stage C: drafts instead of masks. What does each token of a draft need: keep, substitute, delete, insert?

Half of the rows or more are those of stage B, so that filling holes is not forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffill.model.config import ModelConfig
from diffill.model.tokenizer import MASK, NUM_CONTROL_IDS
from diffill.model.transformer import Transformer

from .batch import Batch, stacked
from .corruption import CorruptionConfig, corrupt
from .edit_corruption import OWN_GUESS, EditCorruptionConfig, corrupt_drafts
from .loss import joint_loss, stream_states
from .row_store import RowStore
from .stage import Forward, Losses, Turn
from .trainer import TrainConfig

EDIT_THRESHOLD = 0.5


class EditConfig(TrainConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stage C."""

    rows: Path
    """Rows of stage B: `train-*` and `held-out`."""
    edits: Path
    """Rows of edits, of the same length, from `diffill train pack-edits`."""
    pair_share: float = 0.25
    """Share of the rows that are edits."""
    noise_share: float = 0.25
    """Share of the rows that are those of stage B with their tokens deleted, inserted and substituted."""
    denoising_weight: float = 1.0
    """Weight of the noisy stream's loss against 1 for the causal one."""
    guesses: int = 8
    """A guess of the model's own is drawn from so many of its likeliest tokens."""
    corruption: CorruptionConfig = CorruptionConfig()
    drafts: EditCorruptionConfig = EditCorruptionConfig()


class EditStage:
    """Rows of stage B, the same with edit noise, and edits."""

    name = "edit"

    def __init__(self, config: EditConfig) -> None:
        if not (config.pair_share >= 0.0 and config.noise_share >= 0.0):
            raise ValueError("pair_share, noise_share: a share is not negative")
        if config.pair_share + config.noise_share > 0.5:
            raise ValueError(
                f"pair_share, noise_share: {config.pair_share} and {config.noise_share} leave less than half of the "
                "rows to stage B"
            )
        if config.drafts.noisy_length != config.corruption.noisy_length:
            raise ValueError(
                f"drafts: noisy_length {config.drafts.noisy_length} is not the corruption's, "
                f"{config.corruption.noisy_length}"
            )
        self.config = config
        self.rows = RowStore(config.rows, seed=config.seed)
        self.edits = RowStore(config.edits, seed=config.seed)
        if self.rows.shards[0].tokens.shape[1] != self.edits.shards[0].tokens.shape[1]:
            raise ValueError(f"edits: the rows of {config.edits} have another length than those of {config.rows}")

    def batch(self, turn: Turn) -> Batch:
        config = self.config
        pairs, noised = self._shares(turn.rows)
        masked = turn.rows - pairs - noised
        index = turn.first_row // turn.rows
        parts = [corrupt(self.rows.take(index * (masked + noised), masked), config.corruption, turn.generator)]
        if noised:
            rows = self.rows.take(index * (masked + noised) + masked, noised)
            parts.append(corrupt_drafts(rows, config.drafts, turn.generator))
        if pairs:
            parts.append(corrupt_drafts(self.edits.take(index * pairs, pairs), config.drafts, turn.generator))
        return stacked(parts)

    def held_out(self, rows: int) -> Iterator[Batch]:
        """Rows of stage B as that stage measures them: what must not get worse."""
        generator = np.random.default_rng(0)
        for measured in self.rows.measured(rows, self.config.held_out_rows):
            yield corrupt(measured, self.config.corruption, generator)

    def loss(self, model: Transformer, batch: Batch, forward: Forward) -> Losses:
        batch = with_own_guesses(model, batch, forward, count=self.config.guesses)
        return joint_loss(model, batch, forward, denoising_weight=self.config.denoising_weight)

    def decoding(self, config: ModelConfig, steps: int) -> ModelConfig:
        return replace(config, block_size=self.config.drafts.block_size, edit_threshold=EDIT_THRESHOLD)

    def _shares(self, rows: int) -> tuple[int, int]:
        """Rows of a batch that are edits, and that have edit noise."""
        pairs = round(rows * self.config.pair_share)
        return pairs, min(round(rows * self.config.noise_share), rows // 2 - pairs)


def with_own_guesses(model: Transformer, batch: Batch, forward: Forward, *, count: int) -> Batch:
    """The batch with every `OWN_GUESS` replaced by a token that the model finds likely there, its block hidden."""
    places = (batch.tokens == OWN_GUESS).flatten().nonzero()[:, 0]  # [G]
    if not len(places):
        return batch
    hidden = batch.tokens.clone()
    hidden[:, batch.clean_length :] = MASK
    with torch.no_grad():
        states = stream_states(model, replace(batch, tokens=hidden), forward).flatten(0, 1)[places]
        guesses = _likely(model.logits(states).float(), count)
    tokens = batch.tokens.flatten().clone()
    tokens[places] = guesses
    return replace(batch, tokens=tokens.view_as(batch.tokens))


def _likely(logits: Tensor, count: int) -> Tensor:
    """One of the `count` likeliest text tokens of each row, as likely as the model finds it.  # [G, V] -> [G]"""
    logits[:, :NUM_CONTROL_IDS] = -torch.inf
    values, tokens = logits.topk(count, dim=1)
    drawn = torch.multinomial(values.softmax(dim=1), 1)
    return tokens.gather(1, drawn)[:, 0]
