"""What a mode fills: the answer so far, and when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import TypeVar

import numpy as np
from torch import Tensor

from ..network import Choice, Part
from ..request import Finish
from ..tokenizer import END_OF_MIDDLE


@dataclass(frozen=True)
class Snapshot:
    """One forward pass as a person may watch it."""

    start: int
    """Index in the answer of the first token shown."""
    tokens: tuple[int, ...]
    """MASK where nothing is placed."""
    confidence: tuple[float, ...]


_Returned = TypeVar("_Returned")
Passes = Generator["Part | Snapshot", Tensor, _Returned]
"""Yields parts of steps and is sent their hidden states; a snapshot after each pass shows what became of it."""


@dataclass(frozen=True)
class Fork:
    """A place where another token was likely too."""

    index: int
    """How many tokens of the answer stand before it."""
    token: int
    log_probability: float


@dataclass(kw_only=True)
class Answer:
    """Final tokens of the middle, in order, with the rules that end it."""

    max_tokens: int
    ends_line: np.ndarray | None
    """Which token ids end a line, when the answer stops there.  # [V] bool"""
    ends_block: Callable[[Sequence[int]], bool] | None = None
    """Whether these tokens have come to a line that lies behind the block; asked after each, so it must be quick."""
    refused_first: Tensor | None = None
    """Tokens that the answer may not begin with.  # [V] bool"""
    tokens: list[int] = field(default_factory=list)
    log_probability: list[float] = field(default_factory=list)
    """Of every token, END_OF_MIDDLE included: stopping is a decision too."""
    finish: Finish | None = None
    rounds: int = 0
    choices: int = 1
    """How many tokens the network is asked for at each place; more than one leave forks behind."""
    forks: list[Fork] = field(default_factory=list)

    def place(self, token: int, log_probability: float, runners_up: Sequence[Choice] = ()) -> bool:
        """Append one final token; returns whether the answer goes on."""
        assert self.finish is None, "nothing follows a finished answer"
        self.forks += [Fork(len(self.tokens), *choice) for choice in runners_up]
        self.log_probability.append(log_probability)
        if token == END_OF_MIDDLE:
            self.finish = "eom"
            return False
        self.tokens.append(token)
        if self.ends_line is not None and self.ends_line[token]:
            self.finish = "line"
        elif self.ends_block is not None and self.ends_block(self.tokens):
            self.finish = "dedent"
        elif len(self.tokens) >= self.max_tokens:
            self.finish = "length"
        return self.finish is None

    @property
    def refused_next(self) -> Tensor | None:
        """What may not come next."""
        return None if self.tokens else self.refused_first

    def likely_forks(self, count: int) -> list[Fork]:
        """The `count` forks that lose least against the token taken there.

        Answers that go on from them differ: in the token of the fork from this one and from those that fork later.
        """
        return nlargest(count, self.forks, key=lambda fork: fork.log_probability - self.log_probability[fork.index])

    def forked(self, fork: Fork) -> Answer:
        """This answer as far as `fork`, and the other token there."""
        other = Answer(max_tokens=self.max_tokens, ends_line=self.ends_line, ends_block=self.ends_block)
        for token, log_probability in zip(self.tokens[: fork.index], self.log_probability, strict=False):
            other.place(token, log_probability)
        other.place(fork.token, fork.log_probability)
        return other

    @property
    def ended(self) -> Finish:
        """Why it is finished, which it must be."""
        if self.finish is None:
            raise RuntimeError("the mode ended before the answer was finished")
        return self.finish

    @property
    def score(self) -> float:
        """Mean log-probability of the decisions taken."""
        return float(np.mean(self.log_probability)) if self.log_probability else 0.0
