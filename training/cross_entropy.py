"""Linear head and cross-entropy in one, a chunk of positions at a time: logits of all positions never exist.

Gradients are made in the forward pass, while a chunk's logits are at hand (Liger Kernel, arXiv 2410.10989): no second
product with the head in the backward pass, and memory for one chunk instead of L x V logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POSITIONS_PER_CHUNK = {"cpu": 2_048, "cuda": 8_192}
"""8,192 positions of a 49,152-word vocabulary are 0.8 GB in bf16, and a product large enough for the device."""


def linear_cross_entropy(
    states: Tensor, head: Tensor, target: Tensor, weight: Tensor, *, forbidden: int
) -> tuple[Tensor, Tensor]:
    """Weighted sum of -log p(target), and each position's own value.

    Args:
        states: final hidden states; products run in the dtype of autocast, or in that of the states.  # [L, D]
        head: one row a token.  # [V, D]
        target: # [L] int64
        weight: # [L] fp32
        forbidden: the one token that is never an answer.

    Returns:
        The sum, through which gradients flow to `states` and `head`, and the values, through which none do.  # [], [L]
    """
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    learn = torch.is_grad_enabled() and (states.requires_grad or head.requires_grad)
    total, nats = _LinearCrossEntropy.apply(states, head, target, weight, forbidden, dtype, learn)  # type: ignore[no-untyped-call]
    return total, nats


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        head: Tensor,
        target: Tensor,
        weight: Tensor,
        forbidden: int,
        dtype: torch.dtype,
        learn: bool,
    ) -> tuple[Tensor, Tensor]:
        size = POSITIONS_PER_CHUNK.get(states.device.type, POSITIONS_PER_CHUNK["cpu"])
        low_head = head.to(dtype)
        measure = _compiled_chunk_loss() if states.is_cuda else chunk_loss
        nats = torch.empty(len(states), device=states.device)
        to_states = torch.empty_like(states) if learn else None
        learn_head = learn and ctx.needs_input_grad[1]  # a frozen head saves a third of its products
        to_head = torch.zeros_like(head, dtype=torch.float32) if learn_head else None
        with torch.autocast(states.device.type, enabled=False):
            for at in range(0, len(states), size):
                part = slice(at, at + size)
                # Every chunk has one shape, the last one too, so that its compiled form is made once.
                chunk, short = states[part].to(dtype), size - len(states[part])
                chunk = F.pad(chunk, (0, 0, 0, short)) if short and len(states) > size else chunk
                pad = len(chunk) - len(states[part])
                values, slope = measure(
                    chunk @ low_head.T, F.pad(target[part], (0, pad)), F.pad(weight[part], (0, pad)), forbidden
                )
                nats[part] = values[: len(values) - pad]
                if to_states is not None:
                    to_states[part] = (slope @ low_head)[: len(values) - pad]
                if to_head is not None:
                    to_head += slope.T @ chunk
        if learn:
            ctx.save_for_backward(to_states, to_head)
        ctx.mark_non_differentiable(nats)
        return (nats * weight).sum(), nats

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        to_states, to_head = ctx.saved_tensors
        scale = gradients[0]
        return to_states * scale, None if to_head is None else to_head * scale, None, None, None, None, None


@functools.cache
def _compiled_chunk_loss() -> Callable[[Tensor, Tensor, Tensor, int], tuple[Tensor, Tensor]]:
    return torch.compile(chunk_loss, dynamic=False)


def chunk_loss(logits: Tensor, target: Tensor, weight: Tensor, forbidden: int) -> tuple[Tensor, Tensor]:
    """-log p(target), and the gradient of its weighted sum to the logits.  # [l, V] -> fp32 [l], [l, V]

    Two passes over the logits when compiled.
    """
    dtype = logits.dtype
    logits = logits.float()
    logits[:, forbidden] = -torch.inf
    log_sum = logits.logsumexp(dim=-1)
    nats = log_sum - logits.gather(1, target[:, None])[:, 0]
    slope = (logits - log_sum[:, None]).exp() * weight[:, None]
    slope.scatter_add_(1, target[:, None], -weight[:, None])
    return nats, slope.to(dtype)
