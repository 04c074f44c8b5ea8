"""The joint loss: next token on the clean stream, the token itself on the noisy one, one forward pass for both."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from diffill.model.masks import dense_mask, flex_mask
from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer, masked_attention

from .batch import Batch
from .cross_entropy import linear_cross_entropy
from .stage import Forward, Losses


def hidden_states(model: Transformer, tokens: Tensor, positions: Tensor, mask: Any) -> Tensor:
    """Both streams in one pass.  # [B, T] -> [B, T, D]

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


def joint_loss(
    model: Transformer, batch: Batch, forward: Forward = hidden_states, *, denoising_weight: float = 1.0
) -> Losses:
    """Losses of one batch: causal, and denoising where there is a noisy stream.

    Args:
        denoising_weight: of the denoising loss in the total, against 1 for the causal one.
    """
    return stream_loss(model, batch, stream_states(model, batch, forward), denoising_weight=denoising_weight)


def stream_states(model: Transformer, batch: Batch, forward: Forward = hidden_states) -> Tensor:
    """One pass over both streams.  # [B, T, D]"""
    mask = flex_mask(batch.layout, compiled=True) if batch.tokens.is_cuda else dense_mask(batch.layout)
    return forward(model, batch.tokens, batch.positions, mask)


def stream_loss(model: Transformer, batch: Batch, hidden: Tensor, *, denoising_weight: float) -> Losses:
    """`joint_loss` of states that are there already.

    Args:
        hidden: from `stream_states`.  # [B, T, D]
    """
    # 1. The head only where something is to be learned. MASK is never an answer.
    states = hidden.flatten(0, 1)[batch.learned]  # [L, D]
    target, weight = batch.target.flatten()[batch.learned], batch.weight.flatten()[batch.learned]
    noisy = batch.learned % batch.tokens.shape[1] >= batch.clean_length
    scaled = torch.where(noisy, denoising_weight * weight, weight)
    total, nats = linear_cross_entropy(states, model.embedding.weight, target, scaled, forbidden=MASK)
    # 2. What is reported.
    parts = {"causal": (nats * weight).masked_fill(noisy, 0.0).sum()}
    if batch.tokens.shape[1] > batch.clean_length:
        parts["denoising"] = (nats * weight).masked_fill(~noisy, 0.0).sum()
    return Losses(total=total, parts=parts)
