"""Keys and values of the clean tokens, exact and append-only: clean tokens are causal, so nothing is ever refreshed.

Shapes: N layers, K key-value heads, S slots, E head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .config import ModelConfig

SLOTS_STEP = 256


class KVCache:
    """One document's cache. Slots past `length` are scratch for the step that runs."""

    def __init__(self, config: ModelConfig, *, device: torch.device, dtype: torch.dtype) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.tokens: list[int] = []
        """The clean tokens whose keys and values are held, in order."""
        self.keys = self._slots(0)  # [N, K, S, E]
        self.values = self._slots(0)

    @property
    def length(self) -> int:
        return len(self.tokens)

    def shared(self, prompt: Sequence[int]) -> int:
        """Length of the longest common prefix with `prompt`."""
        count = 0
        for held, wanted in zip(self.tokens, prompt, strict=False):
            if held != wanted:
                break
            count += 1
        return count

    def reuse(self, prompt: Sequence[int]) -> int:
        """Forget everything behind the longest common prefix with `prompt`; returns its length."""
        common = self.shared(prompt)
        del self.tokens[common:]
        return common

    def reserve(self, count: int) -> None:
        """Make room for `count` tokens behind `length`."""
        needed = self.length + count
        if needed <= self.keys.shape[2]:
            return
        grown = -(-needed // SLOTS_STEP) * SLOTS_STEP
        for name in ("keys", "values"):
            slots = self._slots(grown)
            slots[:, :, : self.length] = getattr(self, name)[:, :, : self.length]
            setattr(self, name, slots)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put the step's keys and values behind the kept ones.

        Args:
            key, value: of all T tokens of the step.  # [K, T, E]

        Returns:
            Keys and values of the whole context and the step.  # 2 x [K, length + T, E]
        """
        end = self.length + key.shape[1]
        assert end <= self.keys.shape[2], "reserve() comes before write()"
        self.keys[layer, :, self.length : end] = key
        self.values[layer, :, self.length : end] = value
        return self.keys[layer, :, :end], self.values[layer, :, :end]

    def keep(self, tokens: Sequence[int]) -> None:
        """The first tokens of the last step were clean and are final: they stay."""
        self.tokens.extend(tokens)

    def _slots(self, count: int) -> Tensor:
        config = self.config
        shape = (config.num_layers, config.num_key_value_heads, count, config.head_size)
        return torch.zeros(shape, device=self.device, dtype=self.dtype)
