"""Linear layers for few rows: the weights, bf16 or int8 rows with a scale each, are read once for 16 rows.

The sum over the depth may be cut into parts that run side by side; whoever reads the result adds the parts in order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from . import QUERY_ROWS
from .launch import tiles

PROCESSORS = 132
"""Multiprocessors that a layer should keep busy: those of an H100 or H200."""
MAX_SPLITS = 4


class Weight(NamedTuple):
    """A matrix as it lies in the device's memory."""

    rows: Tensor
    """# bf16 or int8 [N, K]"""
    scale: Tensor | None = None
    """Of int8 rows.  # fp32 [N]"""

    @property
    def bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self if tensor is not None)


class Tiling(NamedTuple):
    """How a layer is cut. It never depends on the number of rows: with it the order of a sum would change."""

    columns: int
    """Of the output, a program."""
    depth: int
    """Of the input, at a time."""
    splits: int = 1
    """Parts of the sum that run side by side."""
    warps: int = 4
    stages: int = 4


def tiling_of(columns: int, depth: int, *, gated: bool = False) -> Tiling:
    """Narrow tiles where a layer is small, and a cut sum where there are still fewer programs than processors.

    Args:
        gated: two columns, of gate and of up, are one of the output; such sums cannot be cut.
    """
    step = 64 if depth <= 1024 else 128
    width = 16 if columns <= 4096 else 32
    if gated:
        return Tiling(width, step)
    splits = 1
    while splits < MAX_SPLITS and tiles(columns, width) * splits < PROCESSORS and tiles(depth, step) >= 4 * splits:
        splits *= 2
    return Tiling(width, step, splits)


@triton.jit(do_not_specialize=("rows",))
def linear_kernel(
    x: tl.tensor,
    weight: tl.tensor,
    scale: tl.tensor,
    out: tl.tensor,
    rows: tl.tensor,
    N: tl.constexpr,
    K: tl.constexpr,
    K_PART: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    QUANTIZED: tl.constexpr,
    GATED: tl.constexpr,
) -> None:
    part = tl.program_id(2)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    known, wanted = (m < rows)[:, None], n < N
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    other = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K_PART, BLOCK_K):
        k = part * K_PART + start + tl.arange(0, BLOCK_K)
        inside = k < K
        left = tl.load(x + m[:, None] * K + k[None, :], mask=known & inside[None, :], other=0.0)
        place = n.to(tl.int64)[:, None] * K + k[None, :]
        right = tl.load(weight + place, mask=wanted[:, None] & inside[None, :], other=0).to(tl.bfloat16)
        total = tl.dot(left, tl.trans(right), total)
        if GATED:
            right = tl.load(weight + N * K + place, mask=wanted[:, None] & inside[None, :], other=0).to(tl.bfloat16)
            other = tl.dot(left, tl.trans(right), other)
    if QUANTIZED:
        total *= tl.load(scale + n, mask=wanted, other=0.0)[None, :]
        if GATED:
            other *= tl.load(scale + N + n, mask=wanted, other=0.0)[None, :]
    if GATED:
        total = total * tl.sigmoid(total) * other
    place = (part * rows + m)[:, None] * N + n[None, :]
    tl.store(out + place, total.to(out.dtype.element_ty), mask=known & wanted[None, :])


def linear(x: Tensor, weight: Weight, out: Tensor, tiling: Tiling, *, gated: bool = False) -> None:
    """out[0] + out[1] + ... = x @ weight.T; gated, out = silu(x @ gate.T) * (x @ up.T) in one part.

    Args:
        x: # bf16 [R, K]
        weight: rows of the output's columns; gated, gate's and then up's.
        out: # fp32 [splits, R, N]; gated, bf16 [1, R, N]
    """
    splits, rows, columns = out.shape
    depth = x.shape[1]
    assert splits == tiling.splits and x.shape[0] == rows and x.is_contiguous() and out.is_contiguous()
    assert weight.rows.shape == ((2 if gated else 1) * columns, depth) and not (gated and splits > 1)
    grid = (tiles(columns, tiling.columns), tiles(rows, QUERY_ROWS), splits)
    linear_kernel[grid](
        x,
        weight.rows,
        weight.rows if weight.scale is None else weight.scale,
        out,
        rows,
        N=columns,
        K=depth,
        K_PART=tiles(tiles(depth, tiling.depth), splits) * tiling.depth,
        BLOCK_M=QUERY_ROWS,
        BLOCK_N=tiling.columns,
        BLOCK_K=tiling.depth,
        QUANTIZED=weight.scale is not None,
        GATED=gated,
        num_warps=tiling.warps,
        num_stages=tiling.stages,
    )


def plain_linear(x: Tensor, weight: Weight, *, gated: bool = False) -> Tensor:
    """The twin, in fp32.  # [R, K] -> [R, N]"""
    out = x.float() @ weight.rows.float().T
    if weight.scale is not None:
        out *= weight.scale
    if gated:
        gate, up = out.chunk(2, dim=1)
        out = F.silu(gate) * up
    return out


def as_weight(tensor: Tensor, scale: Tensor | None, device: torch.device) -> Weight:
    """A stored matrix on the device: int8 rows stay what they are, all else becomes bf16."""
    if scale is not None:
        return Weight(tensor.to(device).contiguous(), scale.to(device, torch.float32).contiguous())
    return Weight(tensor.to(device, torch.bfloat16).contiguous())
