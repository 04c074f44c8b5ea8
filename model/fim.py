"""The fill-in-the-middle prompt, as token ids. One format serves training, the server and the evaluation. No torch."""

from __future__ import annotations

from collections.abc import Sequence

from .tokenizer import MIDDLE, PREFIX, SUFFIX

MAX_PREFIX_TOKENS = 640
MAX_SUFFIX_TOKENS = 256


def fim_prompt(
    prefix: Sequence[int],
    suffix: Sequence[int],
    *,
    max_prefix: int = MAX_PREFIX_TOKENS,
    max_suffix: int = MAX_SUFFIX_TOKENS,
) -> list[int]:
    """`SUFFIX suffix PREFIX prefix MIDDLE`, each part cut to what is nearest to the cursor.

    The suffix comes first (SPM, arXiv 2207.14255) so that typing only extends the cached prefix.
    """
    near_prefix = prefix[max(0, len(prefix) - max_prefix) :]
    return [SUFFIX, *suffix[:max_suffix], PREFIX, *near_prefix, MIDDLE]
