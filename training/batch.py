"""What one forward pass learns from: two streams of tokens, who sees whom, and what each token costs.

Shapes: B rows, T = C clean + N noisy tokens, L learned ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from diffill.model.masks import StreamLayout


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One batch; the clean stream first, the noisy stream, if any, behind it."""

    tokens: Tensor  # [B, T] int64
    positions: Tensor  # [B, T] int64
    layout: StreamLayout
    target: Tensor  # [B, T] int64; clean: the next token, noisy: the token at this very place
    weight: Tensor  # [B, T] fp32; 0 where nothing is learned
    clean_length: int

    @cached_property
    def learned(self) -> Tensor:
        """Flat places with a weight; looked up on the CPU, where it stalls no device.  # [L] int64"""
        return self.weight.flatten().nonzero()[:, 0]

    def on(self, device: str) -> Batch:
        """The batch in the memory of `device`; on CUDA the copy is queued behind the work already there."""
        return self if device == "cpu" else self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """The same in page-locked memory, from where a CUDA device copies without stopping the host."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        batch = Batch(
            tokens=change(self.tokens),
            positions=change(self.positions),
            layout=StreamLayout(
                document=change(self.layout.document),
                block=change(self.layout.block),
                order=change(self.layout.order),
            ),
            target=change(self.target),
            weight=change(self.weight),
            clean_length=self.clean_length,
        )
        vars(batch)["learned"] = change(self.learned)  # not to be looked up again on the device
        return batch


def stacked(parts: Sequence[Batch]) -> Batch:
    """Rows of several batches of one shape, below one another."""

    def below(name: str, of: Callable[[Batch], object] = lambda part: part) -> Tensor:
        return torch.cat([getattr(of(part), name) for part in parts])

    return Batch(
        tokens=below("tokens"),
        positions=below("positions"),
        layout=StreamLayout(**{name: below(name, lambda part: part.layout) for name in ("document", "block", "order")}),
        target=below("target"),
        weight=below("weight"),
        clean_length=parts[0].clean_length,
    )


def normalised(batches: Sequence[Batch]) -> list[Batch]:
    """The batches of one step, weighted so that each stream's weights sum to one over all of them.

    A sum of weighted losses is then a mean over tokens (global averaging, arXiv 2607.05722), however the step is split.
    """
    clean = sum(float(batch.weight[:, : batch.clean_length].sum()) for batch in batches)
    noisy = sum(float(batch.weight[:, batch.clean_length :].sum()) for batch in batches)
    scaled = []
    for batch in batches:
        weight = batch.weight.clone()
        weight[:, : batch.clean_length] /= max(clean, 1.0)
        weight[:, batch.clean_length :] /= max(noisy, 1.0)
        scaled.append(dataclasses.replace(batch, weight=weight))
    return scaled
