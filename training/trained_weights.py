"""Which weights a run changes, and the files that it leaves: all of them as a checkpoint, or an adapter's (`lora`)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from diffill.model.checkpoint import save_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.tokenizer import Tokenizer
from diffill.model.transformer import Transformer

from .history import History


class TrainedWeights(Protocol):
    """What the trainer asks of the weights; `start` and `out` are those of its configuration."""

    def before(self, start: Path, out: Path, stage: str) -> History:
        """What these weights have been through in a stage before this run."""

    def prepare(self, model: Transformer) -> None:
        """Called once the base is on its device: afterwards exactly what is trained requires a gradient."""

    def save(
        self, out: Path, learned: dict[str, Tensor], *, config: ModelConfig, tokenizer: Tokenizer, history: History
    ) -> None:
        """Write what requires a gradient, by the names of the parameters, beside what `out` holds and rename.

        Raises:
            ValueError: a weight is not finite; nothing was written.
        """


class AllWeights:
    """A whole checkpoint in fp32; a run that starts from one goes on with it."""

    def before(self, start: Path, out: Path, stage: str) -> History:
        return History.of(start, stage)

    def prepare(self, model: Transformer) -> None:
        pass

    def save(
        self, out: Path, learned: dict[str, Tensor], *, config: ModelConfig, tokenizer: Tokenizer, history: History
    ) -> None:
        save_checkpoint(out, config=config, weights=learned, tokenizer=tokenizer, dtype=torch.float32)
        history.save(out)
