"""Stage A: causal training on code and on holes to fill. Its quality is the ceiling of all that follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from diffill.model.config import ModelConfig
from diffill.model.masks import CLEAN, StreamLayout
from diffill.model.transformer import Transformer

from .batch import Batch
from .clean_stream import clean_stream
from .loss import joint_loss
from .packing import Rows
from .row_store import RowStore
from .stage import Forward, Losses, Turn
from .trainer import TrainConfig


class CausalConfig(TrainConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stage A."""

    rows: Path
    """Directory of packed rows: `train-*` and `held-out`."""
    middle_weight: float = 1.5
    """Loss weight of the middle against 1 for its surroundings."""


class CausalStage:
    """Rows as they are, every token from those before it."""

    name = "causal"

    def __init__(self, config: CausalConfig) -> None:
        self.config = config
        self.rows = RowStore(config.rows, seed=config.seed)

    def batch(self, turn: Turn) -> Batch:
        return causal_batch(self.rows.take(turn.first_row, turn.rows), self.config.middle_weight)

    def held_out(self, rows: int) -> Iterator[Batch]:
        for measured in self.rows.measured(rows, self.config.held_out_rows):
            yield causal_batch(measured, self.config.middle_weight)

    def loss(self, model: Transformer, batch: Batch, forward: Forward) -> Losses:
        return joint_loss(model, batch, forward)

    def decoding(self, config: ModelConfig, steps: int) -> ModelConfig:
        return config


def causal_batch(rows: Rows, middle_weight: float) -> Batch:
    """Only a clean stream.  # T = C"""
    stream = clean_stream(rows, middle_weight)
    return Batch(
        tokens=torch.from_numpy(stream.tokens),
        positions=torch.from_numpy(stream.position),
        layout=StreamLayout(
            document=torch.from_numpy(stream.document),
            block=torch.full(stream.tokens.shape, CLEAN),
            order=torch.from_numpy(np.array(stream.index)),
        ),
        target=torch.from_numpy(stream.following),
        weight=torch.from_numpy(stream.weight.astype(np.float32)),
        clean_length=stream.tokens.shape[1],
    )
