"""The head, softmax and choice in one: the best token of each row, its probability and the entropy.

Neither logits nor probabilities are written: a program keeps its part of the vocabulary in registers and leaves four
numbers of it, and a second kernel adds those up in one order.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import QUERY_ROWS
from .launch import power_of_two, tiles
from .linear import Weight, plain_linear

COLUMNS = 64
"""Tokens of the vocabulary, a program."""
DEPTH = 64
TOLD = 4
"""Numbers about a row: token, its logit, and with d = logit - best the sums of exp(d) and of exp(d) d."""


@triton.jit(do_not_specialize=("rows",))
def part_kernel(
    states: tl.tensor,
    weight: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    told: tl.tensor,
    rows: tl.tensor,
    V: tl.constexpr,
    D: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    QUANTIZED: tl.constexpr,
) -> None:
    part = tl.program_id(0)
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = part * BLOCK_N + tl.arange(0, BLOCK_N)
    known, token = (m < rows)[:, None], n < V
    logits = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, D, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        inside = (k < D)[None, :]
        left = tl.load(states + m[:, None] * D + k[None, :], mask=known & inside, other=0.0)
        right = tl.load(weight + n.to(tl.int64)[:, None] * D + k[None, :], mask=token[:, None] & inside, other=0)
        logits = tl.dot(left.to(tl.bfloat16), tl.trans(right.to(tl.bfloat16)), logits)
    if QUANTIZED:
        logits *= tl.load(scale + n, mask=token, other=0.0)[None, :]
    logits += tl.load(bias + n, mask=token, other=float("-inf"))[None, :]
    best = tl.max(logits, axis=1)
    where = tl.min(tl.where(logits == best[:, None], n[None, :], V), axis=1)
    below = logits - tl.where(best == float("-inf"), 0.0, best)[:, None]
    power = tl.exp(below)
    place = told + (m * PARTS + part) * 4
    tl.store(place, where.to(tl.float32), mask=m < rows)
    tl.store(place + 1, best, mask=m < rows)
    tl.store(place + 2, tl.sum(power, axis=1), mask=m < rows)
    tl.store(place + 3, tl.sum(tl.where(power == 0.0, 0.0, power * below), axis=1), mask=m < rows)


@triton.jit
def whole_kernel(told: tl.tensor, out: tl.tensor, V: tl.constexpr, PARTS: tl.constexpr, BLOCK: tl.constexpr) -> None:
    row = tl.program_id(0)
    part = tl.arange(0, BLOCK)
    inside = part < PARTS
    place = told + (row * PARTS + part) * 4
    tokens = tl.load(place, mask=inside, other=float(V))
    bests = tl.load(place + 1, mask=inside, other=float("-inf"))
    totals = tl.load(place + 2, mask=inside, other=0.0)
    weighted = tl.load(place + 3, mask=inside, other=0.0)
    best = tl.max(bests, axis=0)
    below = bests - best
    factor = tl.exp(below)
    out += row * 4
    tl.store(out, tl.min(tl.where(bests == best, tokens, float(V)), axis=0))
    tl.store(out + 1, best)
    tl.store(out + 2, tl.sum(tl.where(totals == 0.0, 0.0, factor * totals), axis=0))
    moved = factor * (weighted + totals * below)
    tl.store(out + 3, tl.sum(tl.where(totals == 0.0, 0.0, moved), axis=0))


def parts_of(vocabulary: int) -> int:
    """How many programs share the vocabulary."""
    return tiles(vocabulary, COLUMNS)


def decide(states: Tensor, weight: Weight, bias: Tensor, told: Tensor, out: Tensor) -> None:
    """The best token of each row, the first of equals.

    Args:
        states: # fp32 [R, D]
        bias: 0, or minus infinity for what is no answer.  # fp32 [V]
        told: scratch.  # fp32 [R, parts, TOLD]
        out: what `TOLD` says, of the whole row; not finite where the states are not.  # fp32 [R, TOLD]
    """
    rows, size = states.shape
    vocabulary = len(bias)
    parts = parts_of(vocabulary)
    assert vocabulary < 1 << 24, "a token must be exact in fp32"
    assert weight.rows.shape == (vocabulary, size) and told.shape[1:] == (parts, TOLD) and len(told) >= rows
    part_kernel[(parts, tiles(rows, QUERY_ROWS))](
        states,
        weight.rows,
        weight.rows if weight.scale is None else weight.scale,
        bias,
        told,
        rows,
        V=vocabulary,
        D=size,
        PARTS=parts,
        BLOCK_M=QUERY_ROWS,
        BLOCK_N=COLUMNS,
        BLOCK_K=DEPTH,
        QUANTIZED=weight.scale is not None,
    )
    whole_kernel[(rows,)](told, out, V=vocabulary, PARTS=parts, BLOCK=power_of_two(parts))


def plain_decide(states: Tensor, weight: Weight, bias: Tensor) -> Tensor:  # -> fp32 [R, TOLD]
    """The twin, which writes the logits out."""
    logits = plain_linear(states.bfloat16(), weight) + bias  # [R, V]
    best, token = logits.max(dim=1)
    below = logits - best[:, None]
    power = below.exp()
    weighted = torch.where(power == 0.0, 0.0, power * below).sum(dim=1)
    return torch.stack([token.float(), best, power.sum(dim=1), weighted], dim=1)
