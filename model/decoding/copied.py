"""What the text itself drafts: where its last tokens stood before, the same tokens may follow again.

Code repeats names, calls and lines, and such a draft costs no block of masks. Known as prompt lookup; drafting from the
input is arXiv 2304.04487.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tokenizer import NUM_CONTROL_IDS

REACH = (1, 3, 4, 6)
"""Tokens that are worth checking behind a match of 1, 2, 3, 4 tokens."""


class CopiedDraft:
    """The text of one sequence, growing."""

    def __init__(self, text: Sequence[int], *, room: int) -> None:
        """
        Args:
            text: token ids so far.
            room: at most so many will follow.
        """
        self._tokens = np.empty(len(text) + room, np.int64)
        self._tokens[: len(text)] = text
        self._length = len(text)

    def follow(self, tokens: Sequence[int]) -> None:
        """The text goes on with `tokens`."""
        self._tokens[self._length : self._length + len(tokens)] = tokens
        self._length += len(tokens)

    def rest(self, most: int) -> list[int]:
        """What followed the longest match of the text's end, the latest of equals; at most `most` tokens."""
        text = self._tokens[: self._length]
        places = np.flatnonzero(text[:-1] == text[-1]) + 1  # where a continuation begins
        matched = 0
        while len(places) and matched < len(REACH):
            matched += 1
            longest = places
            places = places[places > matched]
            places = places[text[places - matched - 1] == text[-matched - 1]]
        if not matched:
            return []
        start = int(longest[-1])
        draft: list[int] = text[start : start + min(most, REACH[matched - 1])].tolist()
        control = next((place for place, token in enumerate(draft) if token < NUM_CONTROL_IDS), len(draft))
        return draft[:control]
