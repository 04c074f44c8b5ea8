"""The joint loss: next token on the clean stream, the token itself on the noisy one, one forward pass for both."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from diffill.model.masks import dense_mask, flex_mask
from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer, masked_attention

from .batch import Batch
from .compilation import is_compiled
from .cross_entropy import Teacher, linear_cross_entropy
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
    model: Transformer,
    batch: Batch,
    forward: Forward = hidden_states,
    *,
    denoising_weight: float = 1.0,
    self_distillation: float = 0.0,
) -> Losses:
    """Losses of one batch: causal, and denoising where there is a noisy stream.

    Args:
        denoising_weight: of the denoising loss in the total, against 1 for the causal one.
        self_distillation: see `stream_loss`.
    """
    return stream_loss(
        model,
        batch,
        stream_states(model, batch, forward),
        denoising_weight=denoising_weight,
        self_distillation=self_distillation,
    )


def stream_states(model: Transformer, batch: Batch, forward: Forward = hidden_states) -> Tensor:
    """One pass over both streams.  # [B, T, D]"""
    mask = flex_mask(batch.layout, compiled=True) if batch.tokens.is_cuda else dense_mask(batch.layout)
    return forward(model, batch.tokens, batch.positions, mask)


def stream_loss(
    model: Transformer, batch: Batch, hidden: Tensor, *, denoising_weight: float, self_distillation: float = 0.0
) -> Losses:
    """`joint_loss` of states that are there already.

    Args:
        hidden: from `stream_states`.  # [B, T, D]
        self_distillation: share of the causal head's distribution in the target of a noisy token. It is the head that
            judges drafts, it has read the text up to that token in the same pass, and one distribution says more than
            one token does (a causal teacher of a block-diffusion student: arXiv 2606.06712).
    """
    states, target, weight = hidden.flatten(0, 1), batch.target.flatten(), batch.weight.flatten()
    compiled = hidden.is_cuda or is_compiled(model)

    def learned(places: Tensor, teacher: Teacher | None = None) -> tuple[Tensor, Tensor]:
        # The head only where something is to be learned. MASK is never an answer.
        total, nats = linear_cross_entropy(
            states[places],
            model.head_weight,
            target[places],
            weight[places],
            forbidden=MASK,
            teacher=teacher,
            compiled=compiled,
        )
        return total, (nats * weight[places]).sum()

    noisy = batch.learned % batch.tokens.shape[1] >= batch.clean_length
    total, causal = learned(batch.learned[~noisy])
    if batch.tokens.shape[1] == batch.clean_length:
        return Losses(total=total, parts={"causal": causal})
    places = batch.learned[noisy]
    teacher = _causal_teacher(batch, states, places, self_distillation) if self_distillation else None
    denoising_total, denoising = learned(places, teacher)
    return Losses(total=total + denoising_weight * denoising_total, parts={"causal": causal, "denoising": denoising})


def _causal_teacher(batch: Batch, states: Tensor, places: Tensor, share: float) -> Teacher:
    """The clean tokens that stand just before what noisy ones stand for.

    Args:
        states: of all tokens.  # [B * T, D]
        places: of noisy tokens.  # [L]
    """
    positions, order = batch.positions.flatten(), batch.layout.order.flatten()
    row = places - places % batch.tokens.shape[1]
    start = row + order[places]  # the clean token in whose place the block begins
    before = start + positions[places] - positions[start] - 1
    clean = before.clamp(min=row, max=row + batch.clean_length - 1)
    # Behind the end of a document, where a block runs on, no clean token says what comes next.
    target, document = batch.target.flatten(), batch.layout.document.flatten()
    knows = (clean == before) & (document[clean] == document[places]) & (target[clean] == target[places])
    return Teacher(states=states[clean].detach(), share=share * knows)
