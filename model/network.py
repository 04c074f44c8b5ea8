"""The network as the decoding modes see it: one step is clean tokens, then noisy blocks, over a cache.

Shapes: T tokens of the step, S tokens of context and step, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from pathlib import Path

import torch
from torch import Tensor

from .cache import KVCache
from .checkpoint import SCALE_SUFFIX, dequantize, load_checkpoint
from .config import ModelConfig
from .masks import decoding_mask
from .quantize import load_int8
from .tokenizer import DELETE, END_OF_MIDDLE, INSERT, NUM_CONTROL_IDS
from .transformer import Attention, Transformer

PREFILL_TOKENS = 128
"""Prompt tokens a pass: large enough to be efficient, small enough that a cancel is obeyed soon."""


Choice = tuple[int, float]
"""A token and its log-probability."""


@dataclass(frozen=True)
class Block:
    """Noisy tokens that see each other and the clean tokens before them."""

    tokens: tuple[int, ...]
    before: int
    """How many of the step's clean tokens stand before the block."""


@dataclass(frozen=True)
class Prediction:
    """The best token at each row, its log-probability, and the next best where they were asked for."""

    tokens: list[int]
    log_probability: list[float]
    runners_up: list[list[Choice]] = field(default_factory=list)

    def choices(self, row: int) -> list[Choice]:
        """What else might stand at `row`, best first."""
        return self.runners_up[row] if self.runners_up else []


class Network:
    """Weights on a device; every method works on one sequence."""

    def __init__(self, model: Transformer, *, device: torch.device) -> None:
        self.model = model.eval().requires_grad_(False)
        self.config: ModelConfig = model.config
        self.device = device
        # In fp64, the order in which a sum is taken no longer shows after rounding to fp32: a row's attention is then
        # the same whether it is computed alone or in a block, and a checked draft equals plain decoding.
        self.attention_dtype = torch.float64 if device.type == "cpu" else torch.float32
        banned = [index for index in range(NUM_CONTROL_IDS) if index != END_OF_MIDDLE]
        self._banned = torch.tensor(banned, device=device)
        self._banned_as_label = self._banned[(self._banned != DELETE) & (self._banned != INSERT)]

    def new_cache(self) -> KVCache:
        return KVCache(self.config, device=self.device, dtype=self.attention_dtype)

    @torch.inference_mode()
    def step(self, cache: KVCache, clean: Sequence[int], blocks: Sequence[Block] = ()) -> Tensor:
        """Hidden states of the step's tokens: the clean ones, then block after block.  # [T, D]

        Nothing is kept: call `cache.keep` with the clean tokens that are final.
        """
        tokens = [*clean, *(token for block in blocks for token in block.tokens)]
        place = [*range(len(clean)), *(block.before + i for block in blocks for i in range(len(block.tokens)))]
        cache.reserve(len(tokens))
        shape = tuple((len(block.tokens), block.before) for block in blocks)
        positions = torch.tensor([cache.length + index for index in place], device=self.device)
        mask = _step_mask(len(clean), shape).to(self.device)
        hidden = self.model(torch.tensor([tokens], device=self.device), positions[None], self._attention(cache, mask))
        states: Tensor = hidden[0]
        return states

    @torch.inference_mode()
    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        """Best token and log-probability of each row. MASK and the prompt's control tokens are never answers.

        Args:
            states: hidden states.  # [T, D]
            refused_first: tokens that may not stand at the first row.  # [V] bool
            choices: how many tokens are wanted at each row, the best included.
            labels: the rows are a draft under revision: DELETE and INSERT are answers too.
        """
        head = getattr(self.model.embedding, "head", None)
        logits: Tensor = (self.model.logits(states) if head is None else head(states)).float()  # [T, V]
        logits[:, self._banned_as_label if labels else self._banned] = -torch.inf
        if refused_first is not None:
            logits[0].masked_fill_(refused_first, -torch.inf)
        normaliser = logits.logsumexp(dim=1)
        if choices == 1:
            best, tokens = logits.max(dim=1)
            return Prediction(tokens.tolist(), (best - normaliser).tolist())
        values, ranked = logits.topk(choices, dim=1)  # [T, choices]
        rows = [
            [(token, value) for token, value in zip(*row, strict=True) if value > -inf]
            for row in zip(ranked.tolist(), (values - normaliser[:, None]).tolist(), strict=True)
        ]
        return Prediction(
            tokens=[row[0][0] for row in rows],
            log_probability=[row[0][1] for row in rows],
            runners_up=[row[1:] for row in rows],
        )

    def _attention(self, cache: KVCache, mask: Tensor) -> Attention:
        """Attention of the step over the whole context (always visible) and over itself (under `mask`)."""
        context = cache.length
        hidden = ~mask  # [T, T]

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            keys, values = cache.write(layer, key[0], value[0])  # [K, S, E]
            heads, length, size = query.shape[1:]
            groups = keys.shape[0]
            grouped = query[0].to(keys.dtype).reshape(groups, -1, size) * size**-0.5  # [K, H/K * T, E]
            scores = (grouped @ keys.transpose(1, 2)).view(heads, length, -1)  # [H, T, S]
            scores[:, :, context:].masked_fill_(hidden, -torch.inf)
            weights = scores.softmax(dim=-1).view(groups, -1, scores.shape[-1])
            attended: Tensor = (weights @ values).to(query.dtype).view(1, heads, length, size)
            return attended

        return attend


def load_network(
    directory: Path, *, device: torch.device, on_progress: Callable[[float], None] = lambda share: None
) -> Network:
    """Build the network of a checkpoint on a device: int8 on the CPU where it is stored so, bf16 on an accelerator.

    Raises:
        ValueError: a broken checkpoint, or weights of another shape than `config.json` says; one line.
    """
    config, tensors = load_checkpoint(directory, on_progress=on_progress)
    with torch.device("meta"):
        model = Transformer(config)
    quantised = any(name.endswith(SCALE_SUFFIX) for name in tensors)
    _check_shapes(directory, model, tensors)
    if quantised and device.type == "cpu":
        load_int8(model, tensors)
    else:
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        weights = {name: tensor.to(device, dtype) for name, tensor in dequantize(tensors).items()}
        model.load_state_dict(weights, assign=True)
    return Network(model, device=device)


def _check_shapes(directory: Path, model: Transformer, tensors: dict[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.endswith(SCALE_SUFFIX)}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise ValueError(
            f"checkpoint: {directory}: {name} is {found.get(name, 'missing')}, "
            f"config.json says {wanted.get(name, 'nothing')}"
        )


@lru_cache(maxsize=256)
def _step_mask(clean: int, blocks: tuple[tuple[int, int], ...]) -> Tensor:
    """Who sees whom inside a step; the context before it is seen by all.  # [T, T] bool"""
    return decoding_mask(context=0, clean=clean, blocks=blocks)
