"""The original of an edit as a draft of its answer: where it goes on, however the two have parted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Draft:
    """The tokens of the original, and how far into them the answer has come."""

    def __init__(self, tokens: Sequence[int], answer: Sequence[int] = ()) -> None:
        self._tokens = np.asarray(tokens, dtype=np.int64)
        self._index = np.arange(len(tokens) + 1)
        self._distance = self._index.copy()
        """Edit distance between the answer so far and every beginning of the original.  # [L + 1]"""
        self._place = 0
        for token in answer:
            self.follow(token)

    @property
    def rest(self) -> list[int]:
        """What the answer probably goes on with."""
        rest: list[int] = self._tokens[self._place :].tolist()
        return rest

    def follow(self, token: int) -> None:
        """The answer goes on with `token`.

        The original goes on behind the beginning that is nearest to the answer. Of equally near ones the longest: a
        token that differs replaces one more often than it is put in, and if not, the next token tells.
        """
        paired = self._distance + 1
        paired[1:] = np.minimum(paired[1:], self._distance[:-1] + (self._tokens != token))
        # Leaving out tokens of the original costs one each: a running minimum along the diagonal.
        self._distance = np.minimum.accumulate(paired - self._index) + self._index
        self._place = int(self._index[self._distance == self._distance.min()][-1])
