"""The rows of a step as numbers, for networks that are one program: no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .network import Part


def step_rows(parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """Of every row of the step: its token, position and slot, and which slots it sees.  # int32

    `visible` holds three slots (a, b, c) a row, one behind the other: it sees slots below a, and from b up to c.
    """
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    visible: list[tuple[int, int, int]] = []
    for part in parts:
        context = part.cache.length
        tokens += part.tokens
        positions += part.positions
        slots += range(context, context + len(part.tokens))
        visible += [(context + index + 1, 0, 0) for index in range(len(part.clean))]
        start = context + len(part.clean)
        for block in part.blocks:
            stop = start + len(block.tokens)
            visible += [(context + block.before, start, stop)] * len(block.tokens)
            start = stop
    named = {"tokens": tokens, "positions": positions, "slots": slots, "visible": visible}
    return {name: np.array(numbers, np.int32).reshape(-1) for name, numbers in named.items()}
