"""The prompt: what stands around the cursor, within a budget, in an order that typing only extends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from diffill.model.code.span import with_line_feeds
from diffill.model.fim import MAX_PREFIX_TOKENS, MAX_SUFFIX_TOKENS, Cut, cut_before_cursor, fim_prompt
from diffill.model.tokenizer import Tokenizer

# Text beyond this is not looked at: cost must not grow with the file. Four characters a token is usual, eight is rare.
_CHARACTERS_PER_TOKEN = 8
# The prefix may start at every eighth line of the file only. Were it cut at exactly the budget, each new line would
# move its start, and not one token of the cached prefix could be used again.
_LINES_PER_STEP = 8
_LINE_WINDOW = 2000
_BEFORE_LINE_END = re.compile(r"(?<=\S)\n")
"""Where the tokenizer always begins a new token, so that what stands on each side can be encoded by itself."""
MAX_RELATED_TOKENS = 256


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What the engine is given for one cursor."""

    ids: list[int]
    cut: Cut
    """How the cursor's line was cut, which is how its answer is read."""


def build_prompt(prefix: str, suffix: str, tokenizer: Tokenizer, related: str = "") -> Prompt:
    """The prompt of `model.fim` for a cursor between `prefix` and `suffix`.

    Args:
        related: what other files say about the place, to stand before the prefix.

    Line ends become LF. Both parts keep what is nearest to the cursor and are cut between lines where that is possible.
    """
    # Cut in the cursor's line only; the rest of the file is measured out by tokens.
    line = re.split(r"[\r\n]", prefix[-_LINE_WINDOW:])[-1]
    cut = cut_before_cursor("\n" + line)
    prefix = prefix[: len(prefix) - len(line)] + cut.prefix[1:]
    # Before the prefix, which changes with every key, and the same for many of them: so it is read only once.
    before = tokenizer.encode(related)[-MAX_RELATED_TOKENS:]  # the most telling stands last
    ids = fim_prompt(
        [*before, *_prefix_ids(prefix, tokenizer)],
        _suffix_ids(suffix, tokenizer),
        tokenizer.encode(cut.opening),
        max_prefix=MAX_PREFIX_TOKENS + MAX_RELATED_TOKENS,
    )
    return Prompt(ids=ids, cut=cut)


def _suffix_ids(suffix: str, tokenizer: Tokenizer) -> list[int]:
    length = MAX_SUFFIX_TOKENS * _CHARACTERS_PER_TOKEN
    return list(_kept_suffix_ids(tokenizer, suffix[:length], len(suffix) <= length))


@lru_cache(maxsize=8)
def _kept_suffix_ids(tokenizer: Tokenizer, window: str, is_all: bool) -> tuple[int, ...]:
    ids = tokenizer.encode(with_line_feeds(window))
    if len(ids) <= MAX_SUFFIX_TOKENS and is_all:
        return tuple(ids)
    ids = ids[:MAX_SUFFIX_TOKENS]
    line_ends = tokenizer.ends_line[ids].nonzero()[0]
    return tuple(ids[: int(line_ends[-1]) + 1] if len(line_ends) else ids)


def _prefix_ids(prefix: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of the longest admissible tail of the prefix that fits the budget."""
    for step in (_LINES_PER_STEP, 1):
        start = _farthest_start(prefix, _line_starts(prefix, step=step), tokenizer)
        if start is not None:
            return encode_in_pieces(with_line_feeds(prefix[start:]), tokenizer)
    # One line is longer than the budget: data, or minified code.
    return tokenizer.encode(prefix[-MAX_PREFIX_TOKENS * _CHARACTERS_PER_TOKEN :])[-MAX_PREFIX_TOKENS:]


def _farthest_start(prefix: str, starts: list[int], tokenizer: Tokenizer) -> int | None:
    """The first of `starts` from which the prefix fits. Counts piece by piece from the cursor back: one pass."""
    tokens = 0
    fitting = None
    end = len(prefix)
    for start in reversed(starts):
        tokens += len(_kept_ids(tokenizer, with_line_feeds(prefix[start:end])))
        if tokens > MAX_PREFIX_TOKENS:
            break
        fitting = end = start
    return fitting


def encode_in_pieces(text: str, tokenizer: Tokenizer) -> list[int]:
    """As `tokenizer.encode`, which reads all of a text anew for every key; here only what follows the last piece is."""
    ids: list[int] = []
    start = 0
    for end in [match.start() for match in _BEFORE_LINE_END.finditer(text)][_LINES_PER_STEP - 1 :: _LINES_PER_STEP]:
        ids += _kept_ids(tokenizer, text[start:end])
        start = end
    return ids + tokenizer.encode(text[start:])


@lru_cache(maxsize=512)
def _kept_ids(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """Ids of a piece that stays the same while somebody types elsewhere, which is all but the line being typed."""
    return tuple(tokenizer.encode(text))


def _line_starts(prefix: str, *, step: int) -> list[int]:
    """Offsets of every `step`-th line of the file that lie within the window before the cursor, farthest first."""
    text = prefix.replace("\r\n", " \n").replace("\r", "\n") if "\r" in prefix else prefix  # the same offsets
    window = max(0, len(text) - MAX_PREFIX_TOKENS * _CHARACTERS_PER_TOKEN)
    line = text.count("\n", 0, window)
    starts = [0] if window == 0 else []
    position = window
    while (position := text.find("\n", position) + 1) > 0:
        line += 1
        if line % step == 0:
            starts.append(position)
    return starts
