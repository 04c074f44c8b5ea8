"""The network in plain torch: every device, and the twin that faster implementations are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from .cache import PAGE_SLOTS
from .masks import decoding_mask
from .network import Network, Part, Prediction, ranked_answers
from .transformer import Attention, Transformer


class TorchNetwork(Network):
    """A step as one forward pass of the `Transformer`, with attention over gathered pages.

    Shapes: N layers, K key-value heads, P slots of a page, E head size.
    """

    def __init__(self, model: Transformer, *, device: torch.device) -> None:
        super().__init__(model.config, device=device)
        self.model = model.eval().requires_grad_(False)
        self.cache_dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        # In fp64, the order in which a sum is taken no longer shows after rounding to fp32: a row's attention is then
        # the same whether it is computed alone or in a block, and a checked draft equals plain decoding.
        self.attention_dtype = torch.float64 if device.type == "cpu" else torch.float32
        self._banned = {labels: torch.tensor(self.banned(labels=labels), device=device) for labels in (False, True)}

    @property
    def page_bytes(self) -> int:
        config = self.config
        slots = PAGE_SLOTS * config.num_layers * config.num_key_value_heads
        return 2 * slots * config.head_size * self.cache_dtype.itemsize

    def new_storage(self, pages: int) -> Tensor:
        config = self.config
        shape = (pages, config.num_layers, 2, config.num_key_value_heads, PAGE_SLOTS, config.head_size)
        return torch.empty(shape, device=self.device, dtype=self.cache_dtype)

    @torch.inference_mode()
    def run(self, parts: Sequence[Part]) -> list[Tensor]:
        tokens = [part.tokens for part in parts]
        for part, ids in zip(parts, tokens, strict=True):
            part.cache.reserve(len(ids))
        row_ids = torch.tensor([[token for ids in tokens for token in ids]], device=self.device)
        positions = torch.tensor([[place for part in parts for place in part.positions]], device=self.device)
        states: Tensor = self.model(row_ids, positions, self._attention(parts))
        return list(torch.split(states[0], [len(ids) for ids in tokens]))

    @torch.inference_mode()
    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        logits = self.model.logits(states).float()  # [R, V]
        return ranked_answers(logits, self._banned[labels], refused_first, choices)

    def _attention(self, parts: Sequence[Part]) -> Attention:
        """Attention of each part over its whole context (always visible) and over itself (under a mask)."""
        sequences = [_Sequence(part, self.device, self.config.context_block) for part in parts]

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            attended, start = torch.empty_like(query), 0
            for sequence in sequences:
                rows = slice(start, start := start + sequence.length)
                keys, values = sequence.write(layer, key[0, :, rows], value[0, :, rows])  # [K, S, E]
                grouped = query[0, :, rows].to(self.attention_dtype)  # [H, T, E]
                attended[0, :, rows] = sequence.attend(grouped, keys.to(grouped), values.to(grouped)).to(query.dtype)
            return attended

        return attend


class _Sequence:
    """One part of the step: where its slots are, and who sees whom."""

    def __init__(self, part: Part, device: torch.device, context_block: int) -> None:
        self.storage = part.cache.storage
        self.context, self.length = part.cache.length, len(part.tokens)
        shape = tuple((len(block.tokens), block.before) for block in part.blocks)
        self.hidden = ~_step_mask(len(part.clean), shape, context_block).to(device)  # [T, T]
        self.pages = torch.from_numpy(part.cache.pages[: part.cache.page_count]).long().to(device)
        slots = torch.arange(self.context, self.context + self.length, device=device)
        self.own_pages, self.offsets = self.pages[slots // PAGE_SLOTS], slots % PAGE_SLOTS

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put the step's keys and values into their slots; all keys and values of the sequence come back.

        Args:
            key, value: of the part's tokens.  # [K, T, E]

        Returns:
            # 2 x [K, context + T, E]
        """
        for index, states in enumerate((key, value)):
            self.storage[self.own_pages, layer, index, :, self.offsets] = states.transpose(0, 1).to(self.storage.dtype)
        gathered = self.storage[self.pages, layer]  # [pages, 2, K, P, E]
        keys, values = gathered.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, : self.context + self.length]
        return keys, values

    def attend(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:  # [H, T, E], 2 x [K, S, E] -> [H, T, E]
        heads, length, size = query.shape
        groups = keys.shape[0]
        grouped = query.reshape(groups, -1, size) * size**-0.5  # query heads of one key head stand below one another
        scores = (grouped @ keys.transpose(1, 2)).view(heads, length, -1)  # [H, T, S]
        scores[:, :, self.context :].masked_fill_(self.hidden, -torch.inf)
        weights = scores.softmax(dim=-1).view(groups, -1, scores.shape[-1])
        attended: Tensor = (weights @ values).view(heads, length, size)
        return attended


@lru_cache(maxsize=256)
def _step_mask(clean: int, blocks: tuple[tuple[int, int], ...], context_block: int) -> Tensor:
    """Who sees whom inside a step; the context before it, which ends with a block, is seen by all.  # [T, T] bool"""
    return decoding_mask(context=0, clean=clean, blocks=blocks, context_block=context_block)
