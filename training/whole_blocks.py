"""What stages D and E have in common: rows of stage B with blocks masked whole, which the loss then fills in part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffill.model.config import ModelConfig
from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer

from .batch import Batch
from .corruption import CorruptionConfig, corrupt
from .row_store import RowStore
from .stage import Turn
from .trainer import TrainConfig


class WholeBlocksConfig(TrainConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows, and the blocks that the model is asked for."""

    rows: Path
    """Rows of stage B: `train-*` and `held-out`."""
    block_size: int = 8
    noisy_length: int = 128
    threshold: float = 0.8
    """A pass places tokens of this probability: that of decoding."""

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold: {self.threshold} is not in (0, 1]")


class WholeBlocks:
    """The batches of such a stage, and how its weights decode; the loss is the stage's own."""

    def __init__(self, config: WholeBlocksConfig) -> None:
        self.corruption = CorruptionConfig(
            block_size=config.block_size, noisy_length=config.noisy_length, full_mask=1.0, substitute=0.0
        )
        self.rows = RowStore(config.rows, seed=config.seed)
        self._held_out_rows = config.held_out_rows

    def batch(self, turn: Turn) -> Batch:
        return corrupt(self.rows.take(turn.first_row, turn.rows), self.corruption, turn.generator)

    def held_out(self, rows: int) -> Iterator[Batch]:
        generator = np.random.default_rng(0)
        for measured in self.rows.measured(rows, self._held_out_rows):
            yield corrupt(measured, self.corruption, generator)

    def decoding(self, config: ModelConfig, steps: int) -> ModelConfig:
        return replace(config, block_size=self.corruption.block_size)


def log_probabilities(model: Transformer, states: Tensor) -> Tensor:
    """[L, D] -> fp32 [L, V]; MASK is never an answer."""
    logits = model.logits(states).float()
    logits[:, MASK] = torch.finfo(logits.dtype).min  # not -inf: 0 x inf has no gradient
    return logits.log_softmax(dim=-1)
