"""Positions, and keys and values into their slots, in one pass over what the first linear layer of attention left.

Pages are `[layer][keys, values][key-value head][slot][component]` in bf16, as those of the network in plain torch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..cache import PAGE_SLOTS
from .launch import power_of_two


@triton.jit(do_not_specialize=("rows", "layer"))
def rotate_and_write_kernel(
    parts: tl.tensor,
    cosine: tl.tensor,
    sine: tl.tensor,
    positions: tl.tensor,
    pages: tl.tensor,
    offsets: tl.tensor,
    query: tl.tensor,
    storage: tl.tensor,
    layer: tl.tensor,
    rows: tl.tensor,
    scale: tl.constexpr,
    PARTS: tl.constexpr,
    HEADS: tl.constexpr,
    KEY_HEADS: tl.constexpr,
    LAYERS: tl.constexpr,
    E: tl.constexpr,
    SLOTS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    row = tl.program_id(0)
    half: tl.constexpr = E // 2
    head, e = tl.arange(0, BLOCK)[:, None], tl.arange(0, half)[None, :]
    real = (head < HEADS + 2 * KEY_HEADS) & (e < half)
    first = tl.zeros((BLOCK, half), dtype=tl.float32)
    second = tl.zeros((BLOCK, half), dtype=tl.float32)
    for part in range(PARTS):
        place = parts + ((part * rows + row) * (HEADS + 2 * KEY_HEADS) + head) * E + e
        first += tl.load(place, mask=real, other=0.0)
        second += tl.load(place + half, mask=real, other=0.0)
    position = tl.load(positions + row)
    c, s = tl.load(cosine + position * half + e), tl.load(sine + position * half + e)
    turned = head < HEADS + KEY_HEADS
    left = tl.where(turned, first * c - second * s, first)
    right = tl.where(turned, second * c + first * s, second)

    queries = real & (head < HEADS)
    place = query + (row * HEADS + head) * E + e
    tl.store(place, (left * scale).to(tl.bfloat16), mask=queries)
    tl.store(place + half, (right * scale).to(tl.bfloat16), mask=queries)

    page = tl.load(pages + row).to(tl.int64)
    # A row without a page writes nothing; as a number, since interpreters after 3.6 take no mask that was a scalar.
    written = real & (head >= tl.where(page >= 0, HEADS, HEADS + 2 * KEY_HEADS))
    own = head - HEADS  # keys, then values, as they lie in a page
    slot = ((page * LAYERS + layer) * 2 * KEY_HEADS + own) * SLOTS + tl.load(offsets + row)
    place = storage + slot * E + e
    tl.store(place, left.to(tl.bfloat16), mask=written)
    tl.store(place + half, right.to(tl.bfloat16), mask=written)


def rotate_and_write(
    parts: Tensor,
    cosine: Tensor,
    sine: Tensor,
    positions: Tensor,
    pages: Tensor,
    offsets: Tensor,
    query: Tensor,
    storage: Tensor,
    layer: int,
) -> None:
    """Rotated and scaled queries, rotated keys, and values as they are.

    Args:
        parts: heads of queries, keys and values; the parts of a cut sum.  # fp32 [splits, R, (H + 2 K) E]
        cosine, sine: of every position.  # fp32 [positions, E / 2]
        positions, pages, offsets: of every row; a negative page writes nothing.  # int32 [R]
        query: # bf16 [R, H, E], written
        storage: # bf16 [pages, layers, 2, K, slots, E], written
    """
    rows, heads, size = query.shape
    _, layers, _, key_heads, slots, _ = storage.shape
    assert parts.shape[1:] == (rows, (heads + 2 * key_heads) * size) and slots == PAGE_SLOTS
    rotate_and_write_kernel[(rows,)](
        parts,
        cosine,
        sine,
        positions,
        pages,
        offsets,
        query,
        storage,
        layer,
        rows,
        scale=size**-0.5,
        PARTS=len(parts),
        HEADS=heads,
        KEY_HEADS=key_heads,
        LAYERS=layers,
        E=size,
        SLOTS=slots,
        BLOCK=power_of_two(heads + 2 * key_heads),
    )


def plain_rotate_and_write(
    parts: Tensor,
    cosine: Tensor,
    sine: Tensor,
    positions: Tensor,
    pages: Tensor,
    offsets: Tensor,
    query: Tensor,
    storage: Tensor,
    layer: int,
) -> None:
    """The twin; it writes into `query` and `storage` too."""
    turned_query, *keys_and_values = plain_rotate(parts, cosine, sine, positions, query.shape[1], storage.shape[3])
    query.copy_(turned_query)
    known = pages >= 0
    for kind, written in enumerate(keys_and_values):
        place = pages[known].long(), layer, kind, slice(None), offsets[known].long()
        storage[place] = written[known].to(storage.dtype)


def plain_rotate(
    parts: Tensor, cosine: Tensor, sine: Tensor, positions: Tensor, heads: int, key_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, rotated and scaled, rotated keys, and values.  # fp32 [R, H, E], 2 x [R, K, E]"""
    size = 2 * cosine.shape[1]
    states = parts.sum(dim=0).view(parts.shape[1], -1, size)
    turned, value = states[:, : heads + key_heads], states[:, heads + key_heads :]
    first, second = turned.chunk(2, dim=-1)
    c, s = cosine[positions.long()][:, None], sine[positions.long()][:, None]
    turned = torch.cat([first * c - second * s, second * c + first * s], dim=-1)
    return turned[:, :heads] * size**-0.5, turned[:, heads:], value
