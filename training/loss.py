"""The joint loss: next token on the clean stream, the token itself on the noisy one, one forward pass for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from diffill.model.masks import dense_mask, flex_mask
from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer, masked_attention

from .corruption import Batch

POSITIONS_PER_CHUNK = 16_384
"""Vocabulary-sized logits are made for this many positions at a time: 16,384 take 3.2 GB in fp32."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Weighted means over tokens, in nats."""

    causal: Tensor
    denoising: Tensor

    def total(self, denoising_weight: float) -> Tensor:
        return self.causal + denoising_weight * self.denoising


def hidden_states(model: Transformer, tokens: Tensor, positions: Tensor, mask: Any) -> Tensor:
    """Both streams in one pass; the function that is compiled.  # [B, T] -> [B, T, D]

    `mask` is dense booleans on the CPU and a FlexAttention BlockMask on CUDA.
    """
    if isinstance(mask, Tensor):
        states: Tensor = model(tokens, positions, masked_attention(mask))
        return states
    from torch.nn.attention.flex_attention import flex_attention

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        # Slices of one tensor come in here; compiled for the CPU, FlexAttention of torch 2.13 reads them with wrong
        # strides.
        query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
        attended: Tensor = flex_attention(query, key, value, block_mask=mask, enable_gqa=True)
        return attended

    states = model(tokens, positions, attend)
    return states


def joint_loss(model: Transformer, batch: Batch, forward: Any = hidden_states) -> Losses:
    """Losses of one batch.

    Args:
        forward: `hidden_states` or its compiled form.
    """
    # 1. Who sees whom.
    mask = flex_mask(batch.layout) if batch.tokens.is_cuda else dense_mask(batch.layout)
    # 2. One pass over both streams.
    hidden = forward(model, batch.tokens, batch.positions, mask)  # [B, T, D]
    # 3. The head only where something is to be learned.
    wanted = batch.weight > 0  # [B, T]
    states, target, weight = hidden[wanted], batch.target[wanted], batch.weight[wanted]
    noisy = torch.zeros_like(wanted)
    noisy[:, batch.clean_length :] = True
    is_noisy = noisy[wanted]
    # 4. Cross-entropy, a chunk of positions at a time. MASK is never an answer.
    parts = []
    for at in range(0, states.shape[0], POSITIONS_PER_CHUNK):
        logits = model.logits(states[at : at + POSITIONS_PER_CHUNK]).float()
        logits[:, MASK] = -torch.inf
        parts.append(F.cross_entropy(logits, target[at : at + POSITIONS_PER_CHUNK], reduction="none"))
    loss = torch.cat(parts) * weight
    # 5. Mean over tokens, not over samples (global averaging, arXiv 2607.05722).
    return Losses(
        causal=loss[~is_noisy].sum() / weight[~is_noisy].sum().clamp_min(1.0),
        denoising=loss[is_noisy].sum() / weight[is_noisy].sum().clamp_min(1.0),
    )
