"""What a stage is: batches to learn from, and a loss over them. The trainer knows nothing else of it.

    examples → corruption → batch → loss

A new stage is one class with these five members and a configuration derived from `TrainConfig`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from diffill.model.config import ModelConfig
from diffill.model.transformer import Transformer

from .batch import Batch

Forward = Callable[[Transformer, Tensor, Tensor, Any], Tensor]
"""(model, tokens [B, T], positions [B, T], mask) -> hidden states [B, T, D]: `loss.hidden_states`, or a stand-in."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The place of one batch in a stage. Counts go on over a resumed stage, so that nothing drawn is drawn again."""

    step: int
    """Optimizer steps of this stage before this one."""
    first_row: int
    """Rows of this stage before this batch."""
    rows: int
    """How many rows the batch has."""
    generator: np.random.Generator
    """Seeded by the stage's seed, the step and the batch's place in it."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Sums over tokens whose weights are normalised over a whole step (`batch.normalised`), in nats."""

    total: Tensor
    """What is minimised."""
    parts: dict[str, Tensor]
    """What is reported, by name; without gradients."""


class Stage(Protocol):
    """One stage of training."""

    @property
    def name(self) -> str:
        """The command's name; a run that starts from weights of the same stage goes on where that one stopped."""

    def batch(self, turn: Turn) -> Batch:
        """The batch of one turn, on the CPU: a function of `turn` alone, called ahead of time from other threads."""

    def held_out(self, rows: int) -> Iterator[Batch]:
        """Batches of `rows` rows that are only measured, the same ones every time; none without held-out rows."""

    def loss(self, model: Transformer, batch: Batch, forward: Forward) -> Losses:
        """Losses of one batch, which is on the model's device."""

    def decoding(self, config: ModelConfig, steps: int) -> ModelConfig:
        """How weights that this stage trained for `steps` steps are decoded."""
