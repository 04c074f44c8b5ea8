"""`verify`: every pass checks the last draft against the causal head and drafts the next block (arXiv 2511.08923).

A step is `last draft_1 .. draft_k` as clean tokens, then for each number of accepted drafts a block of masks that sees
just those. Whatever is accepted, the block that continues from there is already denoised: no pass only drafts. Where a
block drafts nothing, the text may: a copied draft is longer and fails more often, so just one block stands behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from math import exp, log

from ..cache import KVCache
from ..network import Block, Choice, Network, Part, Prediction
from ..tokenizer import MASK
from .answer import Answer, Passes, Snapshot
from .copied import CopiedDraft

RELAXED_CHOICES = 4
"""How many of the causal head's tokens are known when acceptance is relaxed."""


def decode_verify(network: Network, cache: KVCache, last: int, answer: Answer) -> Passes[None]:
    """Strict acceptance, unless the configuration relaxes it: the output equals `ar` token for token."""
    config = network.config
    draft_size = config.draft_size if config.denoises else 0
    masks = (MASK,) * (draft_size + 1)  # the first stands where the causal head itself decides
    choices = 1 if config.relaxed_acceptance is None else RELAXED_CHOICES
    copied = CopiedDraft([*cache.tokens, last], room=answer.max_tokens + 1)
    draft: list[int] = []
    drafted = [0]  # numbers of accepted drafts behind which a block stands
    while answer.finish is None:
        clean = [last, *draft]
        blocks = [Block(masks, before=accepted + 1) for accepted in drafted] if draft_size else []
        states = yield Part(cache, clean, blocks)
        checked = network.predict(states[: len(clean)], answer.refused_next, max(choices, answer.choices))
        accepted, snapshot = accept(draft, checked, answer, share=config.relaxed_acceptance)
        cache.keep(clean[: accepted + 1])
        if answer.finish is None:
            last = checked.tokens[accepted]
            copied.follow([*draft[:accepted], last])
            draft = []
            if blocks and accepted in drafted:
                first = len(clean) + drafted.index(accepted) * len(masks)
                block = network.predict(states[first : first + len(masks)])
                draft = _worth_checking(block, last, config.draft_threshold)
            drafted = list(range(len(draft) + 1))
            if not draft:
                draft = copied.rest(min(config.copied_draft, answer.room - 1))
                drafted = [len(draft)]
        yield snapshot


def accept(
    draft: Sequence[int], checked: Prediction, answer: Answer, *, share: float | None = None
) -> tuple[int, Snapshot]:
    """Place the leading drafts that are what the causal head says, and its own token behind them.

    Args:
        checked: what the causal head says before, between and behind the drafts.  # len(draft) + 1 rows
        share: a draft is also good with this share of the best token's probability; None is strict.

    Returns:
        How many drafts agree (the answer may have ended before), and the pass as it is shown.
    """
    start = len(answer.tokens)
    good = _agreeing(draft, checked, share)
    accepted = len(good)
    said = [*good, (checked.tokens[accepted], checked.log_probability[accepted])]
    shown: list[Choice] = []
    for row, choice in enumerate(said):
        shown.append(choice)
        others = checked.choices(row)[: answer.choices - 1] if choice[0] == checked.tokens[row] else []
        if not answer.place(*choice, others):
            break
    answer.rounds += 1
    return accepted, Snapshot(start, tuple(token for token, _ in shown), tuple(exp(value) for _, value in shown))


def _worth_checking(block: Prediction, decided: int, threshold: float) -> list[int]:
    """The drafts behind the token that is `decided`, up to the first that the block itself doubts.

    Every draft costs a row to check it and a block to go on behind it. None are worth that when the block expected
    another token at the decided place: what it says after that belongs to another text.
    """
    if block.tokens[0] != decided:
        return []
    drafts = zip(block.tokens[1:], block.log_probability[1:], strict=True)
    return [token for token, _ in takewhile(lambda draft: exp(draft[1]) >= threshold, drafts)]


def _agreeing(draft: Sequence[int], checked: Prediction, share: float | None) -> list[Choice]:
    """The leading drafts that are what the causal head says, or likely enough to it, with their log-probability."""
    agreeing: list[Choice] = []
    for row, token in enumerate(draft):
        best = checked.tokens[row], checked.log_probability[row]
        likely = [best] if share is None else [best, *checked.choices(row)]
        choice = next((choice for choice in likely if choice[0] == token), None)
        if choice is None or choice[1] < best[1] + (log(share) if share else 0.0):
            break
        agreeing.append(choice)
    return agreeing
