"""Packed rows as the causal loss reads them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from diffill.model.tokenizer import END_OF_MIDDLE, NUM_CONTROL_IDS

from .packing import Rows


@dataclass(frozen=True, kw_only=True)
class CleanStream:
    """The first of the two streams.  # all [B, C]"""

    tokens: np.ndarray
    document: np.ndarray
    index: np.ndarray
    position: np.ndarray
    """Place inside the document."""
    following: np.ndarray
    """The next token, 0 where nothing follows."""
    weight: np.ndarray


def clean_stream(rows: Rows, middle_weight: float) -> CleanStream:
    """Next token of the same document; control tokens come from the format, not from the model.

    Args:
        middle_weight: weight of the middle against 1 for its surroundings.
    """
    tokens = rows.tokens.astype(np.int64)
    document = rows.document.astype(np.int64)
    index = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    opens = np.ones_like(rows.middle)
    opens[:, 1:] = document[:, 1:] != document[:, :-1]
    following = np.zeros_like(tokens)
    following[:, :-1] = tokens[:, 1:]
    follows = np.zeros_like(rows.middle)
    follows[:, :-1] = (document[:, 1:] == document[:, :-1]) & (document[:, 1:] >= 0)
    learnable = follows & ((following >= NUM_CONTROL_IDS) | (following == END_OF_MIDDLE))
    next_is_middle = np.zeros_like(rows.middle)
    next_is_middle[:, :-1] = rows.middle[:, 1:]
    return CleanStream(
        tokens=tokens,
        document=document,
        index=index,
        position=index - np.maximum.accumulate(np.where(opens, index, 0), axis=1),
        following=following,
        weight=learnable * np.where(next_is_middle, middle_weight, 1.0),
    )
