"""A network that follows a script: what comes next is a function of the text so far, and drafts are right when told.

It stands behind the decoding modes in place of the real one, so that every course of events can be brought about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from diffill.model.cache import KVCache, PagePool
from diffill.model.config import ModelConfig
from diffill.model.decoding import Passes, Snapshot
from diffill.model.decoding.passes import together
from diffill.model.network import Block, Part, Prediction

Text = tuple[int, ...]


class ScriptedNetwork:
    """Answers like `Network`. A "state" is a row of a token and its log-probability."""

    def __init__(
        self,
        config: ModelConfig,
        next_token: Callable[[Text], int],
        *,
        draft_is_right: Callable[[Text, int], bool] = lambda text, place: True,
        log_probability: float = -0.5,
        draft_log_probability: Callable[[Text, int], float] | None = None,
        second_best: Callable[[int], int] = lambda token: token + 1,
    ) -> None:
        self.config, self.device = config, torch.device("cpu")
        self._next, self._right = next_token, draft_is_right
        self._log_probability, self._second_best = log_probability, second_best
        self._draft_log_probability = draft_log_probability or (lambda text, place: log_probability)
        self.steps: list[tuple[Text, Text, tuple[Block, ...]]] = []
        """Of every step: what the cache held, the clean tokens, the blocks."""

    def new_cache(self) -> KVCache:
        return self.new_pool().open([])

    def new_pool(self) -> PagePool:
        return empty_pool()

    def run(self, parts: Sequence[Part]) -> list[Tensor]:
        return [self.step(part.cache, part.clean, part.blocks) for part in parts]

    def use_cores(self, count: int) -> None:
        pass

    def step(self, cache: KVCache, clean: Sequence[int], blocks: Sequence[Block] = ()) -> Tensor:
        cache.reserve(len(clean) + sum(len(block.tokens) for block in blocks))
        held = tuple(cache.tokens)
        self.steps.append((held, tuple(clean), tuple(blocks)))
        rows = [(self._next((*held, *clean[: index + 1])), self._log_probability) for index in range(len(clean))]
        for block in blocks:
            text = (*held, *clean[: block.before])
            for place in range(len(block.tokens)):
                truth = self._next(text)
                token = truth if self._right(text, place) else truth + 1
                rows.append((token, self._draft_log_probability(text, place)))
                text = (*text, truth)
        return torch.tensor(rows, dtype=torch.float64)

    def predict(self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1) -> Prediction:
        """The scripted token of each row; behind it the one that `second_best` names, and so on, each e times less."""
        rows = []
        for index, (token, log_probability) in enumerate(states.tolist()):
            row = [(int(token), log_probability)]
            while len(row) < choices + (0 if refused_first is None else int(refused_first.sum())):
                row.append((self._second_best(row[-1][0]), row[-1][1] - 1.0))
            if index == 0 and refused_first is not None:
                row = [choice for choice in row if not refused_first[choice[0]]]
            rows.append(row[:choices])
        return Prediction(
            tokens=[row[0][0] for row in rows],
            log_probability=[row[0][1] for row in rows],
            runners_up=[row[1:] for row in rows] if choices > 1 else [],
        )


def alone(network: Any, passes: Passes[Any]) -> list[Snapshot]:
    """Compute the passes of one sequence; what was shown of them."""
    shown: list[Snapshot] = []
    steps = together([passes], shown.append)
    states: Any = None
    while True:
        try:
            parts = steps.send(states)
        except StopIteration:
            return shown
        states = [network.step(part.cache, part.clean, part.blocks) for part in parts]


def empty_pool() -> PagePool:
    """Caches that hold tokens and nothing else."""
    return PagePool(lambda pages: torch.empty(pages, 0), capacity=64)


def as_network(network: ScriptedNetwork) -> Any:
    """For the type checker: the modes ask for a `Network` and use only what is scripted here."""
    return network
