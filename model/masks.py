"""The block-diffusion mask: one predicate, in dense and flex form.

A row of the batch is a *clean* stream followed by a *noisy* one. The noisy stream is a list of blocks; each starts
somewhere in the clean stream and replaces what follows there. Three parts (BD3-LM, arXiv 2503.09573, with the clean
part strictly causal as in TiDAR, arXiv 2511.08923):

- clean causal: a clean token sees the clean tokens of its document up to itself;
- offset clean: a noisy token sees the clean tokens of its document strictly before its block;
- block diagonal: a noisy token sees its own block, in both directions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

CLEAN = -1
"""`block` of a clean token."""


@dataclass(frozen=True, kw_only=True)
class StreamLayout:
    """What the mask needs to know of each token.  # all [B, T] int64"""

    document: Tensor
    """Which document of the row a token belongs to; negative for padding, which sees and is seen by itself only."""
    block: Tensor
    """Which noisy block a token belongs to; `CLEAN` in the clean stream."""
    order: Tensor
    """Clean token: its index in the clean stream. Noisy token: the index at which its block starts."""


def sees(layout: StreamLayout, batch: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Whether `query` may attend to `key`; broadcasting index tensors in, booleans out.

    Usable as it is as a FlexAttention `mask_mod` (with the head argument dropped) and, with aranges, as a dense mask.
    """
    same_document = layout.document[batch, query] == layout.document[batch, key]
    query_block, key_block = layout.block[batch, query], layout.block[batch, key]
    query_order, key_order = layout.order[batch, query], layout.order[batch, key]
    query_clean, key_clean = query_block == CLEAN, key_block == CLEAN

    clean_causal = query_clean & key_clean & (key_order <= query_order)
    offset_clean = ~query_clean & key_clean & (key_order < query_order)
    block_diagonal = ~query_clean & (query_block == key_block)
    padding = layout.document[batch, query] < 0
    return torch.where(padding, query == key, same_document & (clean_causal | offset_clean | block_diagonal))


def dense_mask(layout: StreamLayout) -> Tensor:
    """The mask as booleans.  # [B, 1, T, T]"""
    batches, length = layout.document.shape
    device = layout.document.device
    batch = torch.arange(batches, device=device)[:, None, None]
    query = torch.arange(length, device=device)[None, :, None]
    key = torch.arange(length, device=device)[None, None, :]
    return sees(layout, batch, query, key)[:, None]


def flex_mask(layout: StreamLayout, *, compiled: bool = False) -> object:
    """The mask as a FlexAttention `BlockMask`, for CUDA.

    Args:
        compiled: written out, the mask is several [B, T, T] tensors of indices; compiled, never a whole one.
    """
    batches, length = layout.document.shape

    def mask_mod(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return sees(layout, batch, query, key)

    create = block_mask_maker(compiled)
    return create(mask_mod, batches, None, length, length, device=layout.document.device)


@functools.cache
def block_mask_maker(compiled: bool) -> Callable[..., object]:
    """torch's `create_block_mask`; compiled once for all masks of a process."""
    from torch.nn.attention.flex_attention import create_block_mask

    return torch.compile(create_block_mask, dynamic=False) if compiled else create_block_mask


def decoding_mask(*, context: int, clean: int, blocks: tuple[tuple[int, int], ...], context_block: int = 1) -> Tensor:
    """The same three parts for one decoding step over a cache.  # [T, context + T] bool

    The step's tokens are `clean` causal ones followed by noisy blocks; `blocks` gives for each its size and how many of
    the step's clean tokens stand before it. Clean tokens see to the end of their block of `context_block`.
    """
    document = torch.zeros(context + clean + sum(size for size, _ in blocks), dtype=torch.long)
    block = torch.full_like(document, CLEAN)
    order = torch.arange(document.numel())
    start = context + clean
    for index, (size, before) in enumerate(blocks):
        block[start : start + size] = index
        order[start : start + size] = context + before
        start += size
    layout = StreamLayout(document=document[None], block=block[None], order=order[None] // context_block)
    return dense_mask(layout)[0, 0, context:]
