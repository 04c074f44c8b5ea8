"""`diffusion` where finished text sees the rest of its block: BD3-LM (arXiv 2503.09573) and what was made after it.

Blocks stand at multiples of their size from the beginning of the prompt on, so the first one may begin with text that
is known. A finished block is read once more, together with the first pass of the next one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cache import KVCache
from ..network import Block, Network, Part
from .answer import Answer, Passes, Snapshot
from .diffusion import DraftBlock


def decode_in_blocks(network: Network, cache: KVCache, rest: Sequence[int], answer: Answer) -> Passes[None]:
    """Block after block.

    Args:
        rest: of the prompt, what the cache does not hold: a block at most.
    """
    config = network.config
    size = config.context_block
    known, clean = list(rest), list[int]()
    before: Tensor | None = None  # the state of the last token before the block  # [1, D]
    while answer.finish is None:
        if len(known) == size:
            clean, known = known, []
        block = DraftBlock(size - len(known), config.threshold, config.revise_threshold, config.entropy_bound)
        while not block.finished:
            states = yield Part(cache, clean, [Block((*known, *block.tokens), before=len(clean))])
            cache.keep(clean)
            before = states[len(clean) - 1 : len(clean)] if clean else before
            rows = states[len(clean) :]
            if config.shift:
                rows = rows[:-1] if before is None else torch.cat([before, rows[:-1]])
            asked = rows[len(rows) - len(block.tokens) :]
            block.advance(network.predict(asked, answer.refused_next, answer.choices))
            clean = []
            answer.rounds += 1
            yield Snapshot(len(answer.tokens), tuple(block.tokens), tuple(block.confidence))
        for place in zip(block.tokens, block.log_probability, block.runners_up, strict=True):
            if not answer.place(*place):
                break
        known = [*known, *block.tokens]
