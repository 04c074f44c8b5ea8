"""What a draft needs to become its target, token by token: keep, substitute, delete, insert (LLaDA2.2's labels).

Shapes: N drafts at once, L draft tokens, M target tokens.
"""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np

from diffill.model.tokenizer import DELETE, INSERT


def edit_labels(draft: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Label of each draft token, by a longest common subsequence with the target.  # [N, L], [N, M] -> [N, L]

    The token itself: keep. Another token: substitute. `DELETE`: it is not in the target. `INSERT`: it is, but something
    is missing before it; one round of denoising opens one place there, so a longer gap keeps this label until it is
    full. A masked token equals nothing, so its label is the token that belongs there, or `DELETE`.

    Within a stretch that differs, draft and target are paired in order: a substitution is said at once, an insertion
    takes a round more. Labels near the end of a window that cuts the texts off are guesses: give more than is used.
    """
    common = _common(draft, target)  # [N, L + 1, M + 1]
    drafts, length, span = *draft.shape, target.shape[1]
    which = np.arange(drafts)
    at = np.zeros(drafts, dtype=np.int64)  # how far into the target each draft has come
    missing = np.zeros(drafts, dtype=bool)
    labels = np.empty_like(draft)
    for place in range(length):
        # Tokens of the target that this draft token has to wait for: it is wanted later, and nothing else pairs.
        missing[:] = False
        while True:
            inside = np.minimum(at, span - 1)
            here = common[which, place, at]
            same = (draft[:, place] == target[which, inside]) & (at < span)
            pairs = common[which, place + 1, np.minimum(at + 1, span)] == here
            surplus = common[which, place + 1, at] == here
            waits = (at < span) & ~same & ~pairs & ~surplus
            if not waits.any():
                break
            missing |= waits
            at += waits
        substitute = ~same & pairs & (at < span)
        kept = np.where(missing, INSERT, draft[:, place])
        labels[:, place] = np.where(same, kept, np.where(substitute, target[which, inside], DELETE))
        at += same | substitute
    return labels


def aligned_places(original: list[int], updated: list[int]) -> list[int]:
    """For each place of `updated`, its end included, the place of `original` that a draft continues from there."""
    places: list[int] = []
    matcher = SequenceMatcher(None, original, updated, autojunk=False)
    for _, start, end, first, last in matcher.get_opcodes():
        places += [min(start + place, end) for place in range(last - first)]
    return [*places, len(original)]


def _common(draft: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Length of the longest common subsequence of every pair of tails.  # [N, L + 1, M + 1]"""
    drafts, length = draft.shape
    span = target.shape[1]
    common = np.zeros((drafts, length + 1, span + 1), dtype=np.int16)
    equal = draft[:, :, None] == target[:, None, :]
    for place in range(length - 1, -1, -1):
        for at in range(span - 1, -1, -1):
            common[:, place, at] = np.where(
                equal[:, place, at],
                common[:, place + 1, at + 1] + 1,
                np.maximum(common[:, place + 1, at], common[:, place, at + 1]),
            )
    return common
