"""The smallest edits that turn one text into another."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from itertools import takewhile

from ..documents import Edit

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_WORD = re.compile(r"\w+|\s+|[^\w\s]")

MAX_LINES = 2_000
"""More that differ are replaced as one."""


def hunks(before: str, after: str, *, offset: int = 0) -> list[Edit]:
    """Edits from `before` to `after`, in order and without overlap: one for each run of lines that differ, less the
    words at its two ends that are the same.

    Args:
        offset: where `before` starts in its document, in characters.
    """
    old, new = _LINE.findall(before), _LINE.findall(after)
    # What is alike at both ends goes first: comparing takes the square of the length where lines repeat.
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    starts = [offset + sum(map(len, old[:head]))]
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    for line in old:
        starts.append(starts[-1] + len(line))
    if len(old) + len(new) > MAX_LINES:
        return [_trimmed(starts[0], "".join(old), "".join(new))]
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [
        _trimmed(starts[old_start], "".join(old[old_start:old_end]), "".join(new[new_start:new_end]))
        for tag, old_start, old_end, new_start, new_end in matcher.get_opcodes()
        if tag != "equal"
    ]


def apply_all(text: str, edits: list[Edit]) -> str:
    """`text` with edits that are in order and do not overlap."""
    pieces, position = [], 0
    for edit in edits:
        pieces += [text[position : edit.start], edit.text]
        position = edit.end
    return "".join([*pieces, text[position:]])


def _trimmed(start: int, old: str, new: str) -> Edit:
    """The edit of `old`, which starts at `start`, to `new`, without the words that both begin and end with."""
    old_words, new_words = _WORD.findall(old), _WORD.findall(new)
    head = _common(old_words, new_words)
    tail = _common(old_words[head:][::-1], new_words[head:][::-1])
    first = len("".join(old_words[:head]))
    last = len("".join(old_words[len(old_words) - tail :]))
    return Edit(start=start + first, end=start + len(old) - last, text=new[first : len(new) - last])


def _common(one: list[str], other: list[str]) -> int:
    """How many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
