"""Attention of few rows over pages of cached keys and values, cut into stretches of slots that run side by side.

A stretch always begins at a multiple of `STRETCH` slots, and stretches are added in their order: a row's sum is the
same whatever else is in the step. Slots that a row does not see weigh exactly nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..cache import PAGE_SLOTS
from . import QUERY_ROWS
from .launch import power_of_two

STRETCH = 128
"""Slots that one program attends to."""
STRETCH_PAGES = STRETCH // PAGE_SLOTS


class Tiles(NamedTuple):
    """Rows of one sequence that are computed together; a tile with no rows is skipped.  # each int32 [tiles]"""

    first: Tensor
    """Index of the first row."""
    rows: Tensor
    tables: Tensor
    """Which table of pages."""


class Partial(NamedTuple):
    """What a stretch says for a row and head."""

    values: Tensor
    """Sum of the values, weighted.  # fp32 [R, H, stretches, E]"""
    largest: Tensor
    """Its largest score.  # fp32 [R, H, stretches]"""
    total: Tensor
    """Sum of its weights.  # fp32 [R, H, stretches]"""


def tile_tokens(heads: int, key_heads: int) -> int:
    """Rows of a tile: each brings all query heads of a key head."""
    return QUERY_ROWS // (heads // key_heads)


@triton.jit(do_not_specialize=("layer",))
def stretch_kernel(
    query: tl.tensor,
    storage: tl.tensor,
    tables: tl.tensor,
    visible: tl.tensor,
    tile_first: tl.tensor,
    tile_rows: tl.tensor,
    tile_tables: tl.tensor,
    values_out: tl.tensor,
    largest_out: tl.tensor,
    total_out: tl.tensor,
    layer: tl.tensor,
    STRETCHES: tl.constexpr,
    TABLE: tl.constexpr,
    HEADS: tl.constexpr,
    KEY_HEADS: tl.constexpr,
    LAYERS: tl.constexpr,
    E: tl.constexpr,
    SLOTS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_S: tl.constexpr,
) -> None:
    tile, group, stretch = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    together: tl.constexpr = HEADS // KEY_HEADS
    m = tl.arange(0, BLOCK_M)
    known = (m // together < tl.load(tile_rows + tile)) & (m < BLOCK_M // together * together)
    row = tl.load(tile_first + tile) + m // together
    head = group * together + m % together
    before = tl.load(visible + row * 3, mask=known, other=0)
    start = tl.load(visible + row * 3 + 1, mask=known, other=0)
    stop = tl.load(visible + row * 3 + 2, mask=known, other=0)
    end = tl.max(tl.maximum(before, stop), axis=0)
    if stretch * BLOCK_S < end:
        slot = stretch * BLOCK_S + tl.arange(0, BLOCK_S)
        filled = slot < end
        table = tables + tl.load(tile_tables + tile) * TABLE
        page = tl.load(table + slot // SLOTS, mask=filled, other=0).to(tl.int64)
        keys = (((page * LAYERS + layer) * 2) * KEY_HEADS + group) * SLOTS + slot % SLOTS
        e = tl.arange(0, E)
        place = (row * HEADS + head)[:, None] * E + e[None, :]
        q = tl.load(query + place, mask=known[:, None], other=0.0)
        k = tl.load(storage + keys[:, None] * E + e[None, :], mask=filled[:, None], other=0.0)
        v_slots = keys + KEY_HEADS * SLOTS
        v = tl.load(storage + v_slots[:, None] * E + e[None, :], mask=filled[:, None], other=0.0)
        at = slot[None, :]
        seen = (at < before[:, None]) | ((at >= start[:, None]) & (at < stop[:, None]))
        scores = tl.where(seen, tl.dot(q, tl.trans(k)), float("-inf"))
        largest = tl.max(scores, axis=1)
        weights = tl.exp(scores - tl.where(largest == float("-inf"), 0.0, largest)[:, None])
        mixed = tl.dot(weights.to(tl.bfloat16), v)
        told = (row * HEADS + head) * STRETCHES + stretch
        tl.store(largest_out + told, largest, mask=known)
        tl.store(total_out + told, tl.sum(weights, axis=1), mask=known)
        tl.store(values_out + told[:, None] * E + e[None, :], mixed, mask=known[:, None])


@triton.jit
def combine_kernel(
    values: tl.tensor,
    largest: tl.tensor,
    total: tl.tensor,
    visible: tl.tensor,
    out: tl.tensor,
    STRETCHES: tl.constexpr,
    HEADS: tl.constexpr,
    E: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_S: tl.constexpr,
) -> None:
    row = tl.program_id(0)
    end = tl.maximum(tl.load(visible + row * 3), tl.load(visible + row * 3 + 2))
    head, e = tl.arange(0, BLOCK_H), tl.arange(0, E)[None, :]
    real = head < HEADS
    first = (row * HEADS + head) * STRETCHES
    at = tl.arange(0, BLOCK)[None, :]
    told = real[:, None] & (at * BLOCK_S < end) & (at < STRETCHES)
    top = tl.max(tl.load(largest + first[:, None] + at, mask=told, other=float("-inf")), axis=1)
    top = tl.where(top == float("-inf"), 0.0, top)
    weight_sum = tl.zeros((BLOCK_H,), dtype=tl.float32)
    mixed = tl.zeros((BLOCK_H, E), dtype=tl.float32)
    for stretch in range(STRETCHES):  # one after the other: a tree of sums would change with their number
        inside = head < tl.where(stretch * BLOCK_S < end, HEADS, 0)  # all heads or none
        weight = tl.exp(tl.load(largest + first + stretch, mask=inside, other=float("-inf")) - top)
        weight_sum += weight * tl.load(total + first + stretch, mask=inside, other=0.0)
        part = tl.load(values + (first + stretch)[:, None] * E + e, mask=inside[:, None], other=0.0)
        mixed += weight[:, None] * part
    mixed = mixed / tl.where(weight_sum > 0.0, weight_sum, 1.0)[:, None]
    tl.store(out + (row * HEADS + head)[:, None] * E + e, mixed.to(tl.bfloat16), mask=real[:, None])


def attend(
    query: Tensor,
    storage: Tensor,
    layer: int,
    tables: Tensor,
    visible: Tensor,
    tiles: Tiles,
    partial: Partial,
    out: Tensor,
) -> None:
    """Every row over what it sees of its sequence.

    Args:
        query: rotated and scaled.  # bf16 [R, H, E]
        storage: # bf16 [pages, layers, 2, K, slots, E]
        tables: page numbers of the sequences.  # int32 [sequences, pages]
        visible: of every row three slots (a, b, c): it sees slots below a, and from b up to c.  # int32 [R, 3]
        tiles: of at most `tile_tokens` rows.
        partial: scratch, with room for all stretches of the tables.
        out: a row that sees nothing becomes 0.  # bf16 [R, H, E]
    """
    rows, heads, size = query.shape
    _, layers, _, key_heads, slots, _ = storage.shape
    stretches = partial.total.shape[2]
    table = tables.shape[1]
    assert slots == PAGE_SLOTS and stretches * STRETCH_PAGES == table
    stretch_kernel[(len(tiles.rows), key_heads, stretches)](
        query,
        storage,
        tables,
        visible,
        *tiles,
        *partial,
        layer,
        STRETCHES=stretches,
        TABLE=table,
        HEADS=heads,
        KEY_HEADS=key_heads,
        LAYERS=layers,
        E=size,
        SLOTS=slots,
        BLOCK_M=QUERY_ROWS,
        BLOCK_S=STRETCH,
    )
    combine_kernel[(rows,)](
        *partial,
        visible,
        out,
        STRETCHES=stretches,
        HEADS=heads,
        E=size,
        BLOCK=power_of_two(stretches),
        BLOCK_H=power_of_two(heads),
        BLOCK_S=STRETCH,
    )


def plain_attend(
    query: Tensor, storage: Tensor, layer: int, tables: Tensor, visible: Tensor, tiles: Tiles
) -> Tensor:  # -> fp32 [R, H, E]
    """The twin, in fp32, row by row."""
    out = torch.zeros(query.shape, device=query.device)
    slots = torch.arange(tables.shape[1] * PAGE_SLOTS, device=query.device)
    limits = visible.long()
    for first, count, table in zip(*(column.tolist() for column in tiles), strict=True):
        pages = storage[tables[table].long(), layer].float()  # [pages, 2, K, slots, E]
        keys, values = pages.permute(1, 2, 0, 3, 4).flatten(2, 3)  # 2 x [K, S, E]
        for row in range(first, first + count):
            before, start, stop = limits[row]
            seen = (slots < before) | ((slots >= start) & (slots < stop))
            if not bool(seen.any()):
                continue
            grouped = query[row].float().view(keys.shape[0], -1, query.shape[2])  # [K, H / K, E]
            weights = (grouped @ keys[:, seen].transpose(1, 2)).softmax(dim=-1)
            out[row] = (weights @ values[:, seen]).flatten(0, 1)
    return out
