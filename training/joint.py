"""Stage B: block diffusion beside the causal loss, so that one set of weights drafts blocks and judges them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from diffill.model.config import ModelConfig
from diffill.model.transformer import Transformer

from .batch import Batch
from .corruption import CorruptionConfig, corrupt
from .loss import joint_loss
from .row_store import RowStore
from .stage import Forward, Losses, Turn
from .trainer import TrainConfig


class JointConfig(TrainConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stage B."""

    rows: Path
    """Directory of packed rows: `train-*` and `held-out`."""
    denoising_weight: float = 0.5
    """Weight of the denoising loss against 1 for the causal one (0.3 in arXiv 2607.05722, 1.0 in arXiv 2511.08923)."""
    self_distillation: float = 0.0
    """Share of the causal head's own distribution in what a noisy token is to learn; the rest is the token."""
    corruption: CorruptionConfig = CorruptionConfig()

    def __post_init__(self) -> None:
        if not 0.0 <= self.self_distillation <= 1.0:
            raise ValueError(f"self_distillation: {self.self_distillation} is not in [0, 1]")


class JointStage:
    """Rows and, behind each, noisy blocks copied from it."""

    name = "joint"

    def __init__(self, config: JointConfig) -> None:
        self.config = config
        self.rows = RowStore(config.rows, seed=config.seed)

    def batch(self, turn: Turn) -> Batch:
        return corrupt(
            self.rows.take(turn.first_row, turn.rows), self.config.corruption, turn.generator, step=turn.step
        )

    def held_out(self, rows: int) -> Iterator[Batch]:
        generator = np.random.default_rng(0)
        for measured in self.rows.measured(rows, self.config.held_out_rows):
            yield corrupt(measured, self.config.corruption, generator)

    def loss(self, model: Transformer, batch: Batch, forward: Forward) -> Losses:
        return joint_loss(
            model,
            batch,
            forward,
            denoising_weight=self.config.denoising_weight,
            self_distillation=self.config.self_distillation,
        )

    def decoding(self, config: ModelConfig, steps: int) -> ModelConfig:
        return replace(config, block_size=self.config.corruption.block_sizes(steps)[0])
