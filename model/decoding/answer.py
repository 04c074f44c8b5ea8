"""What a mode fills: the answer so far, and when it is finished."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from typing import TypeVar

import numpy as np
from torch import Tensor

from ..code.guide import Fault
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


@dataclass(frozen=True)
class Refusal:
    """Tokens that may not stand at some place."""

    tokens: Tensor  # [V] bool
    log_left: float = 0.0
    """Log of the probability that the network leaves to the others."""


@dataclass(kw_only=True)
class Answer:
    """Final tokens of the middle, in order, with the rules that end it."""

    max_tokens: int
    ends_line: np.ndarray | None
    """Which token ids end a line, when the answer stops there.  # [V] bool"""
    ends_span: Callable[[Sequence[int]], bool] | None = None
    """Whether these tokens have come to the end of what they fill; asked after each, so it must be quick."""
    fault_in: Callable[[Sequence[int], bool], Fault | None] | None = None
    """The new error in these tokens; asked after each with whether they are all, so it must be quick mostly."""
    refused: dict[int, Refusal] = field(default_factory=dict)
    """What may not follow so many tokens."""
    tokens: list[int] = field(default_factory=list)
    log_probability: list[float] = field(default_factory=list)
    """Of every token, END_OF_MIDDLE included: stopping is a decision too."""
    finish: Finish | None = None
    rounds: int = 0
    choices: int = 1
    """How many tokens the network is asked for at each place; more than one leave forks behind."""
    forks: list[Fork] = field(default_factory=list)
    fault: Fault | None = None
    """Why it ends in an error."""
    decisions: int = 0
    """How many tokens were decided for it, those taken back since included."""
    allowance: int | None = None
    """How many of its places may be masked again; None is as many as `max_tokens` leaves."""

    @property
    def room(self) -> int:
        """How many more tokens it may take."""
        return self.max_tokens - len(self.tokens)

    def place(self, token: int, log_probability: float, runners_up: Sequence[Choice] = ()) -> bool:
        """Append one final token; returns whether the answer goes on."""
        assert self.finish is None, "nothing follows a finished answer"
        self.forks += [Fork(len(self.tokens), *choice) for choice in runners_up]
        self.log_probability.append(log_probability + self.log_left(len(self.tokens)))
        self.decisions += 1
        if token != END_OF_MIDDLE:
            self.tokens.append(token)
        self.finish = self._finish_at(token)
        if self.fault_in is not None:
            self.fault = self.fault_in(self.tokens, self.finish not in (None, "length"))
            self.finish = "error" if self.fault else self.finish
        return self.finish is None

    def _finish_at(self, token: int) -> Finish | None:
        if token == END_OF_MIDDLE:
            return "eom"
        if self.ends_line is not None and self.ends_line[token]:
            return "line"
        if self.ends_span is not None and self.ends_span(self.tokens):
            return "span"
        return "length" if len(self.tokens) >= self.max_tokens else None

    def with_tokens(self, tokens: Sequence[int], log_probability: Sequence[float]) -> Answer:
        """A copy that goes on with these tokens, as far as it goes on."""
        ahead = replace(self, tokens=[*self.tokens], log_probability=[*self.log_probability], forks=[])
        for token, value in zip(tokens, log_probability, strict=False):
            if not ahead.place(token, value):
                break
        return ahead

    def taken_back(self, count: int, refusal: Refusal) -> Answer:
        """A copy of the first `count` tokens, with what may not follow them."""
        if (before := self.refused.get(count)) is not None:
            refusal = replace(refusal, tokens=refusal.tokens | before.tokens)
        return replace(
            self,
            tokens=self.tokens[:count],
            log_probability=self.log_probability[:count],
            forks=[fork for fork in self.forks if fork.index < count],
            refused={place: known for place, known in self.refused.items() if place < count} | {count: refusal},
            finish=None,
            fault=None,
        )

    def spare(self, coming: int) -> int:
        """How many of its places may still be masked again, when so many tokens are to come anyway."""
        left = self.max_tokens - self.decisions - coming
        masked_again = self.decisions - len(self.log_probability)
        return left if self.allowance is None else min(left, self.allowance - masked_again)

    @property
    def refused_next(self) -> Tensor | None:
        """What may not come next.  # [V] bool"""
        refusal = self.refused.get(len(self.tokens))
        return refusal.tokens if refusal else None

    def likely_forks(self, count: int) -> list[Fork]:
        """The `count` forks that lose least against the token taken there.

        Answers that go on from them differ: in the token of the fork from this one and from those that fork later.
        """

        def loss(fork: Fork) -> float:
            return self.log_probability[fork.index] - fork.log_probability - self.log_left(fork.index)

        return nsmallest(count, self.forks, key=loss)

    def forked(self, fork: Fork, allowance: int | None = None) -> Answer:
        """This answer as far as `fork`, and the other token there."""
        other = replace(
            self,
            tokens=self.tokens[: fork.index],
            log_probability=self.log_probability[: fork.index],
            refused={place: refusal for place, refusal in self.refused.items() if place <= fork.index},
            finish=None,
            rounds=0,
            choices=1,
            forks=[],
            fault=None,
            decisions=fork.index,
            allowance=allowance,
        )
        other.place(fork.token, fork.log_probability)
        return other

    def log_left(self, place: int) -> float:
        """Log of the probability that is left at a place to what may stand there."""
        refusal = self.refused.get(place)
        return refusal.log_left if refusal else 0.0

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
