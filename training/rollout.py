"""The model at work on its own blocks: what it places in which pass, all blocks of a batch at once.

Shapes: B rows, C clean tokens, N noisy tokens = K blocks of S, T = C + N, D hidden, V vocabulary.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from diffill.model.masks import dense_mask
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS
from diffill.model.transformer import Transformer, masked_attention

from .batch import Batch

NEVER = -1


def eagerly() -> contextlib.AbstractContextManager[object]:
    """Layers that training has compiled run as they are written: each attention given here is another one to them."""
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


class CleanContext:
    """Keys and values of a batch's clean stream, computed once: noisy blocks are then cheap to run over it."""

    def __init__(self, model: Transformer, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.mask = dense_mask(batch.layout)  # [B, 1, T, T]
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        length = batch.clean_length
        attend = masked_attention(self.mask[:, :, :length, :length])

        def record(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            self._keys.append(key)
            self._values.append(value)
            return attend(layer, query, key, value)

        with torch.no_grad(), eagerly():
            self.clean = model(batch.tokens[:, :length], batch.positions[:, :length], record)
            """Hidden states of the clean stream.  # [B, C, D]"""

    @torch.no_grad()
    def noisy(self, tokens: Tensor, *, causal: bool = False) -> Tensor:
        """Hidden states of the noisy stream if it held `tokens`.  # [B, N] -> [B, N, D]

        Args:
            causal: a block's token sees just those before it, as the causal head does.
        """
        length = self.batch.clean_length
        mask = self.mask[:, :, length:]
        if causal:
            mask = mask.clone()
            mask[:, :, :, length:] &= torch.ones_like(mask[:, :, :, length:]).tril()
        attend = masked_attention(mask)

        held = zip(self._keys, self._values, strict=True)  # in the order of the layers; compiled, they have no index

        def over_context(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            keys, values = next(held)
            return attend(layer, query, torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2))

        with eagerly():
            hidden: Tensor = self.model(tokens, self.batch.positions[:, length:], over_context)
        return hidden


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """What the sampler made of blocks of masks."""

    tokens: Tensor
    """END_OF_MIDDLE behind the first one.  # [B, N]"""
    order: Tensor
    """In which pass a token was placed; `NEVER` behind the first END_OF_MIDDLE.  # [B, N]"""
    passes: Tensor
    """# [B, K]"""

    def state(self, step: Tensor) -> Tensor:
        """The noisy stream before pass `step` of each block.  # [B, K] -> [B, N]"""
        return state_before(self.tokens, self.order, step)


def state_before(tokens: Tensor, order: Tensor, step: Tensor) -> Tensor:
    """Tokens placed before pass `step` of their block, MASK elsewhere.  # 2 x [B, N], [B, K] -> [B, N]"""
    size = tokens.shape[1] // step.shape[1]
    placed = (order != NEVER) & (order < step.repeat_interleave(size, dim=1))
    return torch.where(placed, tokens, MASK)


@torch.no_grad()
def roll_out(context: CleanContext, *, block_size: int, threshold: float) -> Rollout:
    """Denoise all blocks from masks as mode `diffusion` does, without revision.

    A pass places what reaches `threshold` and the left-most open place; nothing behind an END_OF_MIDDLE.
    """
    length = context.batch.clean_length
    state = torch.full_like(context.batch.tokens[:, length:], MASK)
    order = torch.full_like(state, NEVER)
    passes = torch.zeros_like(state[:, ::block_size])
    for step in range(block_size):
        logits = context.model.logits(context.noisy(state)).float()
        logits[:, :, :END_OF_MIDDLE] = -torch.inf
        logits[:, :, END_OF_MIDDLE + 1 : NUM_CONTROL_IDS] = -torch.inf
        certainty, best = logits.log_softmax(dim=-1).max(dim=-1)  # [B, N]
        outlook = torch.where(state == MASK, best, state)
        open_ = blocks(state == MASK, block_size) & ~behind(blocks(outlook == END_OF_MIDDLE, block_size))
        left_most = open_ & ~behind(open_)
        placed = left_most | (open_ & (blocks(certainty, block_size) >= log(threshold)))
        passes += open_.any(dim=2)
        flat = placed.flatten(1)
        state = torch.where(flat, best, state)
        order[flat] = step
    tokens = torch.where(state == MASK, END_OF_MIDDLE, state)
    return Rollout(tokens=tokens, order=order, passes=passes)


def blocks(values: Tensor, size: int) -> Tensor:  # [B, N] -> [B, K, S]
    return values.view(len(values), -1, size)


def behind(flags: Tensor) -> Tensor:
    """Whether a flag stands before a place of its block.  # [B, K, S] bool -> [B, K, S] bool"""
    return flags.cumsum(dim=2) - flags.long() > 0
