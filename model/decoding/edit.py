"""Three ways to revise a draft, which most often is right nearly everywhere: `ar`, `verify`, `diffusion`.

`ar` does not look at the draft: it is the baseline, and what `verify` must reproduce. `verify` checks the draft against
the causal head, many tokens a pass. `diffusion` denoises the draft itself: see `revision`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..cache import KVCache
from ..network import Network, Part
from ..request import Mode
from .answer import Answer, Passes
from .autoregressive import decode_autoregressive
from .draft import Draft
from .revision import decode_revision
from .verify import accept

CHECKED_TOKENS = 24
"""Drafts checked in one pass. On a CPU 24 rows take twice the time of one; on a GPU about the same time."""

EditMode = Callable[[Network, KVCache, int, Answer, Sequence[int]], Passes[None]]
"""A `DecodingMode` that is given a draft of the answer too."""


def decode_draft(network: Network, cache: KVCache, last: int, answer: Answer, draft: Sequence[int]) -> Passes[None]:
    """`verify` with a draft: strict acceptance, so the output equals `ar` token for token.

    Where the causal head says otherwise, its token is taken and the draft is taken up again behind it.
    """
    original, width = Draft(draft, answer.tokens), CHECKED_TOKENS
    while answer.finish is None:
        drafts = original.rest[:width]
        states = yield Part(cache, [last, *drafts])
        checked = network.predict(states, answer.refused_next, answer.choices)
        start = len(answer.tokens)
        accepted, snapshot = accept(drafts, checked, answer)
        cache.keep([last, *drafts[:accepted]])
        for token in answer.tokens[start:]:
            original.follow(token)
        last = checked.tokens[accepted]
        # Behind a difference the place in the original is a guess: fewer rows are risked on it.
        width = min(CHECKED_TOKENS, 2 * (accepted + 4))
        yield snapshot


def decode_denoised_draft(
    network: Network, cache: KVCache, last: int, answer: Answer, draft: Sequence[int]
) -> Passes[None]:
    """`diffusion` with a draft; what does not settle within its passes is finished causally."""
    if network.config.edit_threshold is not None:  # else: weights that were not taught labels
        last = yield from decode_revision(network, cache, last, answer, draft)
    yield from decode_draft(network, cache, last, answer, draft)


def decode_without_draft(
    network: Network, cache: KVCache, last: int, answer: Answer, draft: Sequence[int]
) -> Passes[None]:
    return decode_autoregressive(network, cache, last, answer)


EDIT_MODES: dict[Mode, EditMode] = {
    "ar": decode_without_draft,
    "verify": decode_draft,
    "diffusion": decode_denoised_draft,
}
