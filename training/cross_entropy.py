"""Linear head and cross-entropy in one, a chunk of positions at a time: logits of all positions never exist.

Gradients are made in the forward pass, while a chunk's logits are at hand (Liger Kernel, arXiv 2410.10989): no second
product with the head in the backward pass, and memory for one chunk instead of L x V logits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

POSITIONS_PER_CHUNK = {"cpu": 512, "cuda": 8_192}
"""8,192 positions of a 49,152-word vocabulary are 0.8 GB in bf16, and a product large enough for the device."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """What is learned from beside the one token that stands in the text: a whole distribution for every position."""

    states: Tensor
    """Hidden states from which the same head makes the teacher's logits; no gradient flows to them.  # [L, D]"""
    share: Tensor
    """Of the teacher in the target, the rest is the token's; 0 where there is no teacher.  # [L] fp32"""


def linear_cross_entropy(
    states: Tensor,
    head: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    forbidden: int,
    teacher: Teacher | None = None,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weighted sum of -log p(target), and each position's own value.

    Args:
        states: final hidden states; products run in the dtype of autocast, or in that of the states.  # [L, D]
        head: one row a token.  # [V, D]
        target: # [L] int64
        weight: # [L] fp32
        forbidden: the one token that is never an answer.
        teacher: makes the sum one of cross-entropies to a mixture of its distribution and the target.
        compiled: passes over the logits as compiled loops: on two CPU cores 13 times as fast as one operation after
            the other, at half a minute for the compiler.

    Returns:
        The sum, through which gradients flow to `states` and `head`, and the values of -log p(target), through which
        none do.  # [], [L]
    """
    kind = states.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
    learn = torch.is_grad_enabled() and (states.requires_grad or head.requires_grad)
    total, nats = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        states, head, target, weight, forbidden, dtype, learn, teacher, compiled
    )
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
        teacher: Teacher | None,
        compiled: bool,
    ) -> tuple[Tensor, Tensor]:
        size = _chunk_size(states, compiled)
        low_head = head.to(dtype)
        plain, taught = _compiled_losses() if compiled else (chunk_loss, taught_chunk_loss)
        total = torch.zeros((), device=states.device)
        nats = torch.empty(len(states), device=states.device)
        to_states = torch.empty_like(states) if learn else None
        learn_head = learn and ctx.needs_input_grad[1]  # a frozen head saves a third of its products
        to_head = torch.zeros_like(head, dtype=torch.float32) if learn_head else None

        def padded(rows: Tensor) -> Tensor:
            # Every chunk has one shape, the last one too, so that its compiled form is made once.
            short = size - len(rows) if compiled or len(states) > size else 0
            return F.pad(rows, (0, 0) * (rows.dim() - 1) + (0, short)) if short else rows

        with torch.autocast(states.device.type, enabled=False):
            for at in range(0, len(states), size):
                part = slice(at, at + size)
                chunk = padded(states[part].to(dtype))
                logits, labels, weights = chunk @ low_head.T, padded(target[part]), padded(weight[part])
                if teacher is None:
                    values, cost, slope = plain(logits, labels, weights, forbidden)
                else:
                    lesson = padded(teacher.states[part].to(dtype)) @ low_head.T
                    values, cost, slope = taught(
                        logits, labels, weights, forbidden, lesson, padded(teacher.share[part])
                    )
                total += cost
                nats[part] = values[: len(nats[part])]
                if to_states is not None:
                    to_states[part] = (slope @ low_head)[: len(nats[part])]
                if to_head is not None:
                    to_head += slope.T @ chunk
        if learn:
            ctx.save_for_backward(to_states, to_head)
        ctx.mark_non_differentiable(nats)
        return total, nats

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        to_states, to_head = ctx.saved_tensors
        scale = gradients[0]
        return to_states * scale, None if to_head is None else to_head * scale, *(None,) * 7


def _chunk_size(states: Tensor, compiled: bool) -> int:
    """Compiled, each shape is made anew, and eight are too many: what does not fill one chunk has one of four."""
    size = POSITIONS_PER_CHUNK.get(states.device.type, POSITIONS_PER_CHUNK["cpu"])
    if not compiled or len(states) >= size:
        return size
    quarter = max(1, size // 4)
    return max(1, -(-len(states) // quarter)) * quarter


ChunkLoss = Callable[..., tuple[Tensor, Tensor, Tensor]]


@functools.cache
def _compiled_losses() -> tuple[ChunkLoss, ChunkLoss]:
    return torch.compile(chunk_loss, dynamic=False), torch.compile(taught_chunk_loss, dynamic=False)


def chunk_loss(logits: Tensor, target: Tensor, weight: Tensor, forbidden: int) -> tuple[Tensor, Tensor, Tensor]:
    """-log p(target), its weighted sum, and the sum's gradient to the logits.  # [l, V] -> fp32 [l], [], [l, V]

    Two passes over the logits when compiled.
    """
    dtype = logits.dtype
    logits = logits.float()
    logits[:, forbidden] = -torch.inf
    log_sum = logits.logsumexp(dim=-1)
    nats = log_sum - logits.gather(1, target[:, None])[:, 0]
    slope = (logits - log_sum[:, None]).exp() * weight[:, None]
    slope.scatter_add_(1, target[:, None], -weight[:, None])
    return nats, (nats * weight).sum(), slope.to(dtype)


def taught_chunk_loss(
    logits: Tensor, target: Tensor, weight: Tensor, forbidden: int, lesson: Tensor, share: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`chunk_loss` with `share` of the teacher's distribution in the target.

    Args:
        lesson: the teacher's logits.  # [l, V]
        share: # [l]
    """
    dtype = logits.dtype
    logits, lesson = logits.float(), lesson.float()
    logits[:, forbidden] = -torch.inf
    lesson[:, forbidden] = -torch.inf
    log_sum = logits.logsumexp(dim=-1)
    nats = log_sum - logits.gather(1, target[:, None])[:, 0]
    taught = lesson.softmax(dim=-1)
    # The forbidden token has no probability and an infinite loss; their product is no number.
    expected = (taught * logits.masked_fill(taught == 0.0, 0.0)).sum(dim=-1)
    cost = share * (log_sum - expected) + (1.0 - share) * nats
    slope = ((logits - log_sum[:, None]).exp() - share[:, None] * taught) * weight[:, None]
    slope.scatter_add_(1, target[:, None], -((1.0 - share) * weight)[:, None])
    return nats, (cost * weight).sum(), slope.to(dtype)
