"""`verify`: every pass checks the last draft against the causal head and drafts the next block (arXiv 2511.08923).

A step is `last draft_1 .. draft_k` as clean tokens, then for each number of accepted drafts a block of masks that sees
just those. Whatever is accepted, the block that continues from there is already denoised: no pass only drafts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from math import exp

from ..cache import KVCache
from ..network import Block, Network, Part, Prediction
from ..tokenizer import MASK
from .answer import Answer, Passes, Snapshot


def decode_verify(network: Network, cache: KVCache, last: int, answer: Answer) -> Passes[None]:
    """Strict acceptance: the output equals `ar` token for token."""
    size = network.config.draft_size + 1  # the first mask stands where the causal head itself decides
    draft: list[int] = []
    while answer.finish is None:
        clean = [last, *draft]
        masks = (MASK,) * size
        states = yield Part(cache, clean, [Block(masks, before=accepted + 1) for accepted in range(len(clean))])
        checked = network.predict(states[: len(clean)], answer.refused_next, answer.choices)
        accepted, snapshot = accept(draft, checked, answer)
        cache.keep(clean[: accepted + 1])
        if answer.finish is None:
            last = checked.tokens[accepted]
            first = len(clean) + accepted * size
            draft = _worth_checking(network.predict(states[first : first + size]), last, network.config.draft_threshold)
        yield snapshot


def accept(draft: Sequence[int], checked: Prediction, answer: Answer) -> tuple[int, Snapshot]:
    """Place the leading drafts that are what the causal head says, and its own token behind them.

    Args:
        checked: what the causal head says before, between and behind the drafts.  # len(draft) + 1 rows

    Returns:
        How many drafts agree (the answer may have ended before), and the pass as it is shown.
    """
    accepted = _agreement(draft, checked.tokens)
    start, shown = len(answer.tokens), 0
    for row in range(accepted + 1):
        shown += 1
        if not answer.place(checked.tokens[row], checked.log_probability[row], checked.choices(row)):
            break
    answer.rounds += 1
    confidence = tuple(exp(value) for value in checked.log_probability[:shown])
    return accepted, Snapshot(start, tuple(checked.tokens[:shown]), confidence)


def _worth_checking(block: Prediction, decided: int, threshold: float) -> list[int]:
    """The drafts behind the token that is `decided`, up to the first that the block itself doubts.

    Every draft costs a row to check it and a block to go on behind it. None are worth that when the block expected
    another token at the decided place: what it says after that belongs to another text.
    """
    if block.tokens[0] != decided:
        return []
    drafts = zip(block.tokens[1:], block.log_probability[1:], strict=True)
    return [token for token, _ in takewhile(lambda draft: exp(draft[1]) >= threshold, drafts)]


def _agreement(draft: Sequence[int], checked: Sequence[int]) -> int:
    """How many leading drafts are what the causal head says."""
    accepted = 0
    while accepted < len(draft) and draft[accepted] == checked[accepted]:
        accepted += 1
    return accepted
