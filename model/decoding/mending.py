"""Syntax-guided decoding: where an answer breaks the code around it, a decision near the error is taken otherwise.

A search, best first: of all decisions under suspicion that one is taken back which left most probability to other
tokens, and the answer goes on from there. The budget counts decisions, not passes, so that `verify` still equals `ar`:
an answer and what is taken back of it decide no more tokens than the longest answer that was asked for. An attempt may
cost one pass more where the cache does not hold what it begins with.
"""

from __future__ import annotations

from math import exp, log

import torch

from ..tokenizer import END_OF_MIDDLE
from .answer import Answer, Refusal

MOST_ATTEMPTS = 4
"""Attempts after the first."""
_LEAST_LEFT = 1e-9

_Beginning = tuple[int, ...]


class Mending:
    """The attempts at one answer, and what was learned from each."""

    def __init__(self, answer: Answer, *, vocabulary_size: int, device: torch.device) -> None:
        self.best = answer
        """The attempt without an error; while there is none, the one that was sound longest, the first of equals."""
        self._vocabulary_size, self._device = vocabulary_size, device
        self._decisions = answer.decisions
        self._attempts = 0
        self._refused: dict[_Beginning, set[int]] = {}
        self._left: dict[_Beginning, float] = {}
        """Probability of all that was not refused behind a beginning."""
        self._open: dict[_Beginning, Answer] = {}
        """Beginnings behind which another token may be tried, each with an answer that begins so."""
        self._suspect(answer)

    def next(self) -> Answer | None:
        """The beginning of another attempt, to be decoded on; None when there is no error, or nothing left to try."""
        spare = self.best.max_tokens - self._decisions
        if self.best.fault is None or self._attempts >= MOST_ATTEMPTS or spare <= 0 or not self._open:
            return None
        self._attempts += 1
        beginning = max(self._open, key=self._left.__getitem__)
        refused = torch.zeros(self._vocabulary_size, dtype=torch.bool, device=self._device)
        refused[list(self._refused[beginning])] = True
        refusal = Refusal(refused, log(max(self._left[beginning], _LEAST_LEFT)))
        attempt = self._open.pop(beginning).taken_back(len(beginning), refusal)
        attempt.max_tokens = min(attempt.max_tokens, len(beginning) + spare)
        attempt.decisions, attempt.rounds = self._decisions, self.best.rounds
        return attempt

    def learn(self, attempt: Answer) -> None:
        """Take note of how an attempt ended."""
        self._decisions = attempt.decisions
        mended = attempt.fault is None and (attempt.finish != "length" or attempt.max_tokens == self.best.max_tokens)
        self._suspect(attempt)
        attempt.max_tokens = self.best.max_tokens
        if mended or (attempt.fault and self.best.fault and attempt.fault.first > self.best.fault.first):
            self.best = attempt
        self.best.rounds = attempt.rounds

    def _suspect(self, answer: Answer) -> None:
        if answer.fault is None:
            return
        decided = [*answer.tokens, END_OF_MIDDLE][: len(answer.log_probability)]
        for place in range(answer.fault.first, min(answer.fault.last + 1, len(decided))):
            beginning = tuple(decided[:place])
            refused = self._refused.setdefault(beginning, set())
            if decided[place] not in refused:
                refused.add(decided[place])
                self._left[beginning] = self._left.get(beginning, 1.0) - exp(answer.log_probability[place])
                self._open[beginning] = answer
