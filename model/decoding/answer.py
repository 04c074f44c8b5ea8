"""What a mode fills: the answer so far, and when it is finished."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

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


@dataclass(kw_only=True)
class Answer:
    """Final tokens of the middle, in order, with the rules that end it."""

    max_tokens: int
    ends_line: np.ndarray | None
    """Which token ids end a line, when the answer stops there.  # [V] bool"""
    refused_first: Tensor | None = None
    """Tokens that the answer may not begin with.  # [V] bool"""
    tokens: list[int] = field(default_factory=list)
    log_probability: list[float] = field(default_factory=list)
    """Of every token, END_OF_MIDDLE included: stopping is a decision too."""
    finish: Finish | None = None
    rounds: int = 0

    def place(self, token: int, log_probability: float) -> bool:
        """Append one final token; returns whether the answer goes on."""
        assert self.finish is None, "nothing follows a finished answer"
        self.log_probability.append(log_probability)
        if token == END_OF_MIDDLE:
            self.finish = "eom"
            return False
        self.tokens.append(token)
        if self.ends_line is not None and self.ends_line[token]:
            self.finish = "line"
        elif len(self.tokens) >= self.max_tokens:
            self.finish = "length"
        return self.finish is None

    @property
    def refused_next(self) -> Tensor | None:
        """What may not come next."""
        return None if self.tokens else self.refused_first

    @property
    def score(self) -> float:
        """Mean log-probability of the decisions taken."""
        return float(np.mean(self.log_probability)) if self.log_probability else 0.0
