"""How fast somebody types, and how long to wait until a pause is likely to be one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from statistics import median

_LONGEST_GAP = 2.0
"""Seconds. After a longer one it was thinking, not typing."""
_FEWEST_GAPS = 5
_USUAL_GAP = 0.2
_BOUNDS = (0.05, 0.15)
"""Nobody is kept waiting longer than that for the sake of a key that may come: it is felt (docs/benchmarks.md)."""
_KEPT = 50
_KEYS_LOOKED_AT = 4
_EDITORS_WAIT = 0.25
"""Seconds. A key that another one follows sooner says nothing about whether the editor asks after keys."""


class TypingRhythm:
    """The gaps between the last keystrokes of one person, and how long answers took. Times are in seconds.

    The wait is a typical gap, less what the model takes anyway, for a request that the next key would make useless
    costs the machine and shows nothing (adaptive delay: arXiv 2511.18842 measured fewer calls and more acceptance).
    Then an answer comes about when the next key is overdue.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_key = float("-inf")
        self._gaps: deque[float] = deque(maxlen=_KEPT)
        self._answers: deque[float] = deque(maxlen=10)
        self._asked: deque[bool] = deque(maxlen=_KEYS_LOOKED_AT)

    def key(self) -> None:
        """Something was typed."""
        now = self._clock()
        if 0 < now - self._last_key < _LONGEST_GAP:
            self._gaps.append(now - self._last_key)
        if self._asked and not self._asked[-1] and now - self._last_key < _EDITORS_WAIT:
            self._asked.pop()
        self._last_key = now
        self._asked.append(False)

    def asked(self) -> None:
        """The editor asked after the last key."""
        if self._asked:
            self._asked[-1] = True

    def answered(self, seconds: float) -> None:
        """The model took so long."""
        self._answers.append(seconds)

    @property
    def is_asked_after_keys(self) -> bool:
        """Whether most of the last pauses brought a request: then the next one is likely to, too."""
        return sum(self._asked) >= _KEYS_LOOKED_AT - 1

    @property
    def typical_gap(self) -> float:
        """Between two keys of running text."""
        gap = median(self._gaps) if len(self._gaps) >= _FEWEST_GAPS else _USUAL_GAP
        return min(max(gap, _BOUNDS[0]), _BOUNDS[1])

    def wait(self, line_prefix: str) -> float:
        """How long to wait still before the model is asked, for a cursor behind `line_prefix`."""
        last = line_prefix[-1:]
        # After `(`, a space or at the start of a line something new begins; in a word the next letter is on its way.
        likely = 0.5 if not (last.isalnum() or last == "_") else 1.0
        answer = sum(self._answers) / len(self._answers) if self._answers else 0.0
        whole = max(0.0, self.typical_gap * likely - answer)
        return max(0.0, whole - (self._clock() - self._last_key))
