"""Row by row: the embedding, and the residual sum with the norm that follows it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .launch import power_of_two
from .linear import Weight


@triton.jit
def embed_kernel(
    tokens: tl.tensor,
    weight: tl.tensor,
    scale: tl.tensor,
    x: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    QUANTIZED: tl.constexpr,
) -> None:
    row = tl.program_id(0)
    token = tl.load(tokens + row).to(tl.int64)
    d = tl.arange(0, BLOCK)
    values = tl.load(weight + token * D + d, mask=d < D, other=0).to(tl.float32)
    if QUANTIZED:
        values *= tl.load(scale + token)
    tl.store(x + row * D + d, values, mask=d < D)


def embed(tokens: Tensor, weight: Weight, x: Tensor) -> None:
    """Rows of the embedding.

    Args:
        tokens: # int32 [R]
        x: # fp32 [R, D]
    """
    rows, size = x.shape
    scale = weight.rows if weight.scale is None else weight.scale
    embed_kernel[(rows,)](
        tokens, weight.rows, scale, x, D=size, BLOCK=power_of_two(size), QUANTIZED=weight.scale is not None
    )


def plain_embed(tokens: Tensor, weight: Weight) -> Tensor:
    """The twin.  # int32 [R] -> fp32 [R, D]"""
    rows = weight.rows[tokens.long()].float()
    return rows if weight.scale is None else rows * weight.scale[tokens.long()][:, None]


@triton.jit(do_not_specialize=("rows",))
def residual_norm_kernel(
    x: tl.tensor,
    parts: tl.tensor,
    weight: tl.tensor,
    out: tl.tensor,
    epsilon: tl.tensor,
    rows: tl.tensor,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
    PARTS: tl.constexpr,
) -> None:
    row = tl.program_id(0)
    d = tl.arange(0, BLOCK)
    inside = d < D
    values = tl.load(x + row * D + d, mask=inside, other=0.0)
    if PARTS > 0:
        for part in range(PARTS):
            values += tl.load(parts + (part * rows + row) * D + d, mask=inside, other=0.0)
        tl.store(x + row * D + d, values, mask=inside)
    mean = tl.sum(values * values, axis=0) / D
    normed = values * tl.rsqrt(mean + epsilon) * tl.load(weight + d, mask=inside, other=0.0)
    tl.store(out + row * D + d, normed.to(out.dtype.element_ty), mask=inside)


def residual_norm(x: Tensor, parts: Tensor | None, weight: Tensor, out: Tensor, epsilon: float) -> None:
    """x += parts[0] + parts[1] + ..., in that order; out = rms_norm(x) * weight.

    Args:
        x: the residual stream, changed in place.  # fp32 [R, D]
        parts: what a linear layer left.  # fp32 [splits, R, D]
        weight: # fp32 [D]
        out: # bf16 or fp32 [R, D]
    """
    rows, size = x.shape
    assert parts is None or (parts.shape[1:] == x.shape and parts.is_contiguous())
    residual_norm_kernel[(rows,)](
        x,
        x if parts is None else parts,
        weight,
        out,
        epsilon,
        rows,
        D=size,
        BLOCK=power_of_two(size),
        PARTS=0 if parts is None else len(parts),
    )


def plain_residual_norm(x: Tensor, parts: Tensor | None, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The twin: the new x, and its norm in fp32."""
    total = x if parts is None else torch.stack([x, *parts]).sum(dim=0)
    return total, F.rms_norm(total, weight.shape, weight, epsilon)
