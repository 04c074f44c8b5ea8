"""Syntax-guided decoding: where an answer breaks the code around it, a decision near the error is taken otherwise.

A search, best first: of all decisions under suspicion that one is taken back which left most probability to other
tokens, and the answer goes on from there. The budget counts decisions, not passes, so that `verify` still equals `ar`:
an answer and what is taken back of it decide no more tokens than the longest answer that was asked for. An attempt may
cost one pass more where the cache does not hold what it begins with.

Further answers have one budget together, and each its share of it before any is mended: what becomes of one depends
neither on how fast the others are nor on whether they are mended side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

import torch

from ..tokenizer import END_OF_MIDDLE
from .answer import Answer, Refusal

MOST_ATTEMPTS = 4
"""Attempts after the first."""
MOST_ATTEMPTS_AT_OTHERS = 2
"""The same for a further answer: of those that were mended at all, nearly all were by then."""
_LEAST_LEFT = 1e-9

_Beginning = tuple[int, ...]


class Mending:
    """The attempts at one answer, and what was learned from each."""

    def __init__(
        self,
        answer: Answer,
        *,
        vocabulary_size: int,
        device: torch.device,
        others: Sequence[Answer] = (),
        share: int | None = None,
    ) -> None:
        """
        Args:
            others: answers that this one must differ from: what they decided is not tried, and what they share with
                it is not taken back.
            share: how many more tokens may be decided; None is as many as the longest answer has.
        """
        self.best = answer
        """The attempt without an error; while there is none, the one that was sound longest, the first of equals."""
        self._vocabulary_size, self._device = vocabulary_size, device
        self._others = [_decided(other) for other in others]
        self._decisions = answer.decisions
        self._most = answer.max_tokens if share is None else min(answer.max_tokens, answer.decisions + share)
        self._attempts, self._most_attempts = 0, MOST_ATTEMPTS_AT_OTHERS if others else MOST_ATTEMPTS
        self._refused: dict[_Beginning, set[int]] = {}
        self._left: dict[_Beginning, float] = {}
        """Probability of all that was not refused behind a beginning."""
        self._open: dict[_Beginning, Answer] = {}
        """Beginnings behind which another token may be tried, each with an answer that begins so."""
        self._own = len(answer.log_probability)
        self._suspect(answer)

    @property
    def extra(self) -> int:
        """How many tokens were decided beyond those of the answer as it was first."""
        return self._decisions - self._own

    def next(self) -> Answer | None:
        """The beginning of another attempt, to be decoded on; None when there is no error, or nothing left to try."""
        spare = self._most - self._decisions
        if self.best.fault is None or self._attempts >= self._most_attempts or spare <= 0 or not self._open:
            return None
        self._attempts += 1
        beginning = max(self._open, key=self._left.__getitem__)
        refused = torch.zeros(self._vocabulary_size, dtype=torch.bool, device=self._device)
        refused[list(self._refused[beginning])] = True
        refusal = Refusal(refused, log(max(self._left[beginning], _LEAST_LEFT)))
        attempt = self._open.pop(beginning).taken_back(len(beginning), refusal)
        attempt.max_tokens = min(attempt.max_tokens, len(beginning) + spare)
        attempt.decisions, attempt.rounds, attempt.allowance = self._decisions, self.best.rounds, None
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

    def of_another(self, answer: Answer, others: Sequence[Answer], share: int) -> Mending:
        """The attempts at a further answer of the same network."""
        return Mending(answer, vocabulary_size=self._vocabulary_size, device=self._device, others=others, share=share)

    def _suspect(self, answer: Answer) -> None:
        if answer.fault is None:
            return
        decided = _decided(answer)
        for place in range(answer.fault.first, min(answer.fault.last + 1, len(decided))):
            beginning = tuple(token for token, _ in decided[:place])
            if beginning not in self._refused:
                self._refused[beginning], self._left[beginning] = set(), exp(answer.log_left(place))
                for other in self._others:
                    if _begins(other, beginning):
                        self._refuse(beginning, other[place])
            if self._refuse(beginning, decided[place]):
                self._open[beginning] = answer

    def _refuse(self, beginning: _Beginning, decision: tuple[int, float]) -> bool:
        """Whether it was not refused behind `beginning` before."""
        token, log_probability = decision
        if token in self._refused[beginning]:
            return False
        self._refused[beginning].add(token)
        self._left[beginning] -= exp(log_probability)
        return True


def mend_others(best: Mending, others: Sequence[Answer]) -> list[Mending]:
    """The attempts at each further answer; what is left of `others_budget` is shared by those that end in an error."""
    budget = others_budget(best) - sum(other.decisions - len(other.log_probability) for other in others)
    share = budget // max(1, sum(other.fault is not None for other in others))
    answers = [best.best, *others]
    return [best.of_another(other, [known for known in answers if known is not other], share) for other in others]


def others_budget(best: Mending) -> int:
    """How many more tokens may be decided to mend further answers, masked again included.

    In all a request decides so many more tokens, for all that is mended, as the longest answer has that was asked for.
    """
    return best.best.max_tokens - best.extra


def _decided(answer: Answer) -> list[tuple[int, float]]:
    """All decisions with their log-probability, the one to end included."""
    return list(zip([*answer.tokens, END_OF_MIDDLE], answer.log_probability, strict=False))


def _begins(decided: Sequence[tuple[int, float]], beginning: _Beginning) -> bool:
    """Whether it begins so, and goes on."""
    return len(decided) > len(beginning) and all(
        token == wanted for (token, _), wanted in zip(decided, beginning, strict=False)
    )
