"""In which order the model would unmask a true text: several candidates, and the likeliest of them.

Masks hide tokens in any order, and most orders never happen when decoding. Training on the states of the model's own
best orders spends nothing on the others: the constrained order of Seed Diffusion (arXiv 2508.02193), on true text as in
d3LLM, so that the labels stay right whatever the model believes.

Shapes: B rows, N noisy tokens = K blocks of S.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from diffill.model.tokenizer import MASK

from .rollout import NEVER, CleanContext, blocks

POSITIONS_PER_CHUNK = 2_048


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One order for every block."""

    order: Tensor
    """In which pass each true token is unmasked.  # [B, N]"""
    passes: Tensor
    """# [B, K]"""
    log_likelihood: Tensor
    """Mean over a block's tokens of log p(token) in the pass that unmasks it: the bound on the text's log-likelihood
    that this order gives.  # [B, K]"""


def best_trajectory(
    context: CleanContext, truth: Tensor, *, block_size: int, threshold: float, candidates: int, temperature: float
) -> Trajectory:
    """The likeliest of `candidates` orders of every block; the first one is greedy.

    Args:
        truth: the blocks' true tokens.  # [B, N]
        threshold: a pass unmasks the tokens to which the model gives this probability, or the one it is surest of.
        temperature: of the noise that makes the other candidates differ, in nats.
    """
    best = _trajectory(context, truth, block_size=block_size, threshold=threshold, temperature=0.0)
    for _ in range(candidates - 1):
        other = _trajectory(context, truth, block_size=block_size, threshold=threshold, temperature=temperature)
        better = other.log_likelihood > best.log_likelihood  # [B, K]
        best = Trajectory(
            order=torch.where(better.repeat_interleave(block_size, dim=1), other.order, best.order),
            passes=torch.where(better, other.passes, best.passes),
            log_likelihood=torch.maximum(other.log_likelihood, best.log_likelihood),
        )
    return best


@torch.no_grad()
def _trajectory(
    context: CleanContext, truth: Tensor, *, block_size: int, threshold: float, temperature: float
) -> Trajectory:
    order = torch.full_like(truth, NEVER)
    said = torch.zeros(truth.shape, device=truth.device)
    passes = torch.zeros_like(truth[:, ::block_size])
    for step in range(block_size):
        open_ = order == NEVER
        log_p = _log_probability(context, torch.where(open_, MASK, truth), truth)  # [B, N]
        liking = log_p - temperature * torch.empty_like(log_p).exponential_().log()  # Gumbel noise
        liking = blocks(liking.masked_fill(~open_, -torch.inf), block_size)
        first = torch.zeros_like(liking, dtype=torch.bool).scatter_(2, liking.argmax(dim=2, keepdim=True), True)
        chosen = open_ & (first | (liking >= log(threshold))).flatten(1)
        passes += blocks(open_, block_size).any(dim=2)
        order[chosen] = step
        said = torch.where(chosen, log_p, said)
    return Trajectory(order=order, passes=passes, log_likelihood=blocks(said, block_size).mean(dim=2))


def _log_probability(context: CleanContext, state: Tensor, truth: Tensor) -> Tensor:
    """log p of the true token at every place of the noisy stream.  # [B, N] -> [B, N]"""
    states = context.noisy(state).flatten(0, 1)  # [B * N, D]
    parts = []
    for at in range(0, len(states), POSITIONS_PER_CHUNK):
        logits = context.model.logits(states[at : at + POSITIONS_PER_CHUNK]).float()
        logits[:, MASK] = -torch.inf
        target = truth.flatten()[at : at + POSITIONS_PER_CHUNK, None]
        parts.append(logits.gather(1, target)[:, 0] - logits.logsumexp(dim=1))
    return torch.cat(parts).view_as(truth)
