"""Low-rank adaptation (LoRA, arXiv 2106.09685) from outside of the network: every linear layer gets two factors.

The base is frozen in bf16, in which its products are computed anyway. Only the factors are trained and saved.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from diffill.model.adapter import LINEARS, A, B
from diffill.model.config import ModelConfig
from diffill.model.tokenizer import Tokenizer
from diffill.model.transformer import Transformer

from .corpus.documents import write_beside
from .history import History

FACTORS_FILE = "factors.safetensors"


class LoraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Size of an adapter."""

    rank: int = 16
    alpha: float = 32.0

    def __post_init__(self) -> None:
        if self.rank < 1 or not self.alpha > 0:
            raise ValueError(f"lora: rank {self.rank} and alpha {self.alpha} are not both positive")


class LoraLinear(nn.Module):
    """A frozen linear layer and what is learned beside it; at first it is the frozen layer."""

    def __init__(self, base: nn.Linear, config: LoraConfig) -> None:
        super().__init__()
        rows, columns = base.weight.shape
        device = base.weight.device
        self.weight = nn.Parameter(base.weight.detach().to(torch.bfloat16), requires_grad=False)
        self.lora_a = nn.Parameter(torch.randn(config.rank, columns, device=device) * columns**-0.5)
        self.lora_b = nn.Parameter(torch.zeros(rows, config.rank, device=device))
        self.scale = config.alpha / config.rank

    def forward(self, x: Tensor) -> Tensor:  # [..., K] -> [..., N]
        out: Tensor = F.linear(x, self.weight) + self.scale * F.linear(F.linear(x, self.lora_a), self.lora_b)
        return out


class LoraWeights:
    """Trains and saves factors. Implements `trained_weights.TrainedWeights`."""

    def __init__(self, config: LoraConfig, resumed_from: Path | None = None) -> None:
        """
        Args:
            resumed_from: directory that an earlier run saved to.
        """
        self.config, self._resumed_from = config, resumed_from

    def before(self, start: Path, out: Path, stage: str) -> History:
        return History.of(self._resumed_from, stage) if self._resumed_from else History(stage=stage)

    def prepare(self, model: Transformer) -> None:
        """Raises ValueError when the factors to go on with are broken or of another size."""
        model.requires_grad_(False)
        for layer in model.layers:
            for name in LINEARS:
                setattr(layer, name, LoraLinear(getattr(layer, name), self.config))
        if self._resumed_from is not None:
            self._read(model, self._resumed_from / FACTORS_FILE)

    def save(
        self, out: Path, learned: dict[str, Tensor], *, config: ModelConfig, tokenizer: Tokenizer, history: History
    ) -> None:
        for name, tensor in learned.items():
            if not torch.isfinite(tensor).all():
                raise ValueError(f"weights: {name} holds a value that is not finite; nothing was written")
        write_beside(out / FACTORS_FILE, save(learned))
        history.save(out)

    def _read(self, model: Transformer, path: Path) -> None:
        try:
            stored = load(path.read_bytes())
        except OSError as error:
            raise ValueError(f"out: cannot read {path}: {error.strerror}") from None
        except SafetensorError as error:
            raise ValueError(f"out: {path} is not a safetensors file: {error}") from None
        wanted = factors(model)
        if {name: tensor.shape for name, tensor in stored.items()} != {n: t.shape for n, t in wanted.items()}:
            raise ValueError(f"out: {path} holds factors of another size")
        with torch.no_grad():
            for name, parameter in wanted.items():
                parameter.copy_(stored[name])


def factors(model: Transformer) -> dict[str, Tensor]:
    """The trained parameters by the names of an adapter's file."""
    return {name: parameter for name, parameter in model.named_parameters() if name.endswith((A, B))}
