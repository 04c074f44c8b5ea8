"""The network as the decoding modes see it: one step takes clean tokens, then noisy blocks, of any number of sequences.

Shapes: T tokens of a sequence's part in the step, R rows, D hidden, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor

from .cache import PAGE_SLOTS, KVCache, PagePool
from .config import ModelConfig
from .memory import CACHE_BYTES, KEPT_BYTES, LEAST_CACHE_TOKENS
from .request import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS
from .tokenizer import DELETE, END_OF_MIDDLE, INSERT, NUM_CONTROL_IDS

PREFILL_TOKENS = 64
"""Prompt tokens a pass: large enough to be efficient, small enough that a cancel is obeyed within 20 ms."""
MAX_STEP_ROWS = 512
"""Rows of one step, over all its sequences."""
SCRATCH_TOKENS = 512
"""Tokens of a step that may stand behind the longest text."""
MAX_POSITIONS = MAX_PROMPT_TOKENS + MAX_NEW_TOKENS + SCRATCH_TOKENS

Choice = tuple[int, float]
"""A token and its log-probability."""


class NotFinite(ArithmeticError):
    """The network's output is not a number: broken weights or a broken device."""


@dataclass(frozen=True)
class Block:
    """Noisy tokens that see each other and the clean tokens before them."""

    tokens: tuple[int, ...]
    before: int
    """How many of the step's clean tokens stand before the block."""


@dataclass(frozen=True)
class Part:
    """What a step does for one sequence: `clean` tokens behind those that its cache holds, and blocks."""

    cache: KVCache
    clean: Sequence[int]
    blocks: Sequence[Block] = ()

    @property
    def tokens(self) -> list[int]:
        return [*self.clean, *(token for block in self.blocks for token in block.tokens)]

    @property
    def positions(self) -> list[int]:
        start = self.cache.length
        places = (block.before + index for block in self.blocks for index in range(len(block.tokens)))
        return [start + place for place in (*range(len(self.clean)), *places)]


@dataclass(frozen=True)
class Prediction:
    """The best token at each row, its log-probability, and the next best where they were asked for."""

    tokens: list[int]
    log_probability: list[float]
    runners_up: list[list[Choice]] = field(default_factory=list)
    entropy: list[float] = field(default_factory=list)
    """Of each row's distribution, in nats."""

    def choices(self, row: int) -> list[Choice]:
        """What else might stand at `row`, best first."""
        return self.runners_up[row] if self.runners_up else []


class Network(ABC):
    """Weights on a device. Implementations differ in how a step is computed, not in what it means."""

    def __init__(self, config: ModelConfig, *, device: torch.device) -> None:
        self.config, self.device = config, device

    @property
    @abstractmethod
    def page_bytes(self) -> int:
        """Size of `cache.PAGE_SLOTS` tokens' keys and values."""

    @abstractmethod
    def new_storage(self, pages: int) -> Tensor:
        """Room for pages; the first dimension counts them."""

    @abstractmethod
    def run(self, parts: Sequence[Part]) -> list[Tensor]:
        """One step of several sequences: the final hidden states of each part's tokens.  # [T, D] each

        Nothing is kept: call `cache.keep` with the clean tokens that are final.

        Raises:
            CacheFull: a cache has no room for its part.
        """

    def step(self, cache: KVCache, clean: Sequence[int], blocks: Sequence[Block] = ()) -> Tensor:
        """One step of one sequence: hidden states of the clean tokens, then block after block.  # [T, D]"""
        (states,) = self.run([Part(cache, clean, blocks)])
        return states

    @abstractmethod
    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        """Best token and log-probability of each row. MASK and the prompt's control tokens are never answers.

        Args:
            states: hidden states.  # [R, D]
            refused_first: tokens that may not stand at the first row.  # [V] bool
            choices: how many tokens are wanted at each row, the best included.
            labels: the rows are a draft under revision: DELETE and INSERT are answers too.

        Raises:
            NotFinite: a row has no best token.
        """

    def use_cores(self, count: int) -> None:
        """How many cores the next steps may run on."""
        torch.set_num_threads(count)

    def new_pool(self, budget: int = CACHE_BYTES, *, whole: bool = True) -> PagePool:
        """Room for keys and values within `budget` bytes, but if `whole` for one request of the largest size."""
        least = -(-min(MAX_POSITIONS, self.config.max_positions + SCRATCH_TOKENS) // PAGE_SLOTS) + 1 if whole else 1
        capacity = max(least, budget // self.page_bytes)
        kept = max(KEPT_BYTES // self.page_bytes, LEAST_CACHE_TOKENS // PAGE_SLOTS)
        return PagePool(
            self.new_storage,
            capacity=capacity,
            kept=kept if self.device.type == "cpu" else capacity,
            block=self.config.context_block,
        )

    def new_cache(self) -> KVCache:
        """An empty cache in a pool of its own."""
        return self.new_pool(0).open([])

    def banned(self, *, labels: bool) -> list[int]:
        """Ids that are never answers."""
        answers = {END_OF_MIDDLE, DELETE, INSERT} if labels else {END_OF_MIDDLE}
        return [*(index for index in range(NUM_CONTROL_IDS) if index not in answers), *self.config.refused]


def ranked_answers(logits: Tensor, banned: Tensor, refused_first: Tensor | None, choices: int) -> Prediction:
    """`Network.predict` where the logits are at hand; they are changed.

    Args:
        logits: # fp32 [R, V]
        banned: ids that are never answers.
    """
    logits[:, banned] = -torch.inf
    if refused_first is not None:
        logits[0].masked_fill_(refused_first, -torch.inf)
    normaliser = logits.logsumexp(dim=1)
    surprise = normaliser[:, None] - logits  # [R, V]
    entropy = (surprise.neg().exp() * surprise).nan_to_num_(0.0).sum(dim=1)  # what is impossible adds nothing
    return ranked(logits, normaliser, entropy, choices)


def ranked(logits: Tensor, normaliser: Tensor, entropy: Tensor, choices: int) -> Prediction:
    """The `choices` best tokens of each row.  # [R, V], [R], [R]"""
    values, tokens = logits.topk(choices, dim=1)  # [R, choices]
    rows = [
        [(token, value) for token, value in zip(*row, strict=True) if value > -inf]
        for row in zip(tokens.tolist(), (values - normaliser[:, None]).tolist(), strict=True)
    ]
    if not all(rows):
        raise NotFinite("the network's output is not a number")
    return Prediction(
        tokens=[row[0][0] for row in rows],
        log_probability=[row[0][1] for row in rows],
        runners_up=[row[1:] for row in rows] if choices > 1 else [],
        entropy=entropy.tolist(),
    )
