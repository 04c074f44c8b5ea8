"""Answers already given, by what stands around the cursor: typing through one needs no model."""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from diffill.model.code.brackets import CLOSERS, Brackets

from .text import Text

if TYPE_CHECKING:
    from .completion import Completion

CAPACITY = 250
BEFORE = 256
"""Characters before the cursor by which a place is known. Edits farther off leave its answers as they are."""
AFTER = 128
LOOK_BACK = 128
"""Characters that may have been typed into an answer."""


_Place = tuple[str, str, str]
"""A document, and what stands before and after the cursor."""


class CompletionCache:
    """The answers of one connection, least recently used ones forgotten.

    A place is known by its surroundings and not by its position, so edits elsewhere in the file do not matter, and a
    deletion leads back to the answer for the place before it.
    """

    def __init__(self) -> None:
        self._answers: OrderedDict[_Place, tuple[Completion, ...]] = OrderedDict()
        self._behind: Counter[tuple[str, str]] = Counter()
        """How many answers there are by document and what stands after the cursor: mostly none, which is soon seen."""

    def __len__(self) -> int:
        return len(self._answers)

    def clear(self) -> None:
        """Forget everything: what decodes, or how, is not the same any more."""
        self._answers.clear()
        self._behind.clear()

    def store(self, uri: str, content: Text, offset: int, completions: list[Completion]) -> None:
        """Keep the answer for a cursor at `offset`, which may be that there is nothing to say."""
        place = (uri, content.slice(offset - BEFORE, offset), content.slice(offset, offset + AFTER))
        self._behind[place[0], place[2]] += place not in self._answers
        self._answers[place] = tuple(completions)
        self._answers.move_to_end(place)
        while len(self._answers) > CAPACITY:
            (uri, _, after), _ = self._answers.popitem(last=False)
            self._behind[uri, after] -= 1
            if not self._behind[uri, after]:
                del self._behind[uri, after]

    def find(self, uri: str, content: Text, offset: int) -> list[Completion] | None:
        """What is left of an answer after typing into it, for a cursor at `offset`; None when nothing is known.

        An editor may have closed the bracket that was typed. Then the answer's own bracket there is left out.
        """
        after = content.slice(offset, offset + AFTER + 1)
        nearest = after[:AFTER]
        is_closed = after[:1] in CLOSERS.values() and (uri, after[1:]) in self._behind
        if (uri, nearest) not in self._behind and not is_closed:
            return None
        before = content.slice(offset - BEFORE - LOOK_BACK, offset)
        starts_at = offset - len(before)
        for typed_length in range(min(LOOK_BACK, len(before)) + 1):
            end = len(before) - typed_length
            if end == 0 and starts_at > 0:
                break
            typed, known = before[end:], before[max(0, end - BEFORE) : end]
            found = self._look_up((uri, known, nearest))
            if found is not None and ((left := _left(found, typed, offset)) or not typed):
                return left
            if typed and is_closed:
                found = self._look_up((uri, known, after[1:]))
                if found and (left := _left_inside(found, typed, after[0], offset)):
                    return left
        return None

    def _look_up(self, place: _Place) -> tuple[Completion, ...] | None:
        found = self._answers.get(place)
        if found is not None:
            self._answers.move_to_end(place)
        return found


def after_typing(completions: list[Completion], typed: str, offset: int) -> list[Completion]:
    """The completions that `typed` began, less what was typed, for a cursor now at `offset`."""
    return _left(tuple(completions), typed, offset)


def _left(completions: tuple[Completion, ...], typed: str, offset: int) -> list[Completion]:
    return [
        replace(item, text=item.text[len(typed) :], start=offset, end=offset)
        for item in completions
        if item.text.startswith(typed) and len(item.text) > len(typed)
    ]


def _left_inside(completions: tuple[Completion, ...], typed: str, closer: str, offset: int) -> list[Completion]:
    """As `_left`, where the editor put `closer` behind the cursor: the answer up to that closer, if it ends there."""
    opener = typed[-1:] if not Brackets(typed).open else Brackets(typed).open[-1]
    if CLOSERS.get(opener) != closer:
        return []
    return [
        replace(item, text=item.text[:-1])
        for item in _left(completions, typed, offset)
        if len(item.text) > 1 and item.text.endswith(closer) and not Brackets(item.text[:-1]).imbalance
    ]
