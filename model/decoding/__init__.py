"""Three ways to fill a span with the same weights: `ar`, `verify`, `diffusion`. With a draft of it: `EDIT_MODES`.

Each is a generator: it yields the `Part` of a step, is sent the hidden states that came out, and yields a `Snapshot`.
So the engine can stop, show and count between passes, and compute several sequences in one, without any mode knowing
about it. What is filled grows in an `Answer`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..cache import KVCache
from ..network import Network
from ..request import Mode
from .answer import Answer, Passes, Snapshot
from .autoregressive import decode_autoregressive
from .diffusion import decode_diffusion
from .edit import EDIT_MODES
from .in_blocks import decode_in_blocks
from .verify import decode_verify

DecodingMode = Callable[[Network, KVCache, int, Answer], Passes[None]]
"""(network, cache that holds the prompt but its last token, that last token, answer to fill) -> its passes."""

MODES: dict[Mode, DecodingMode] = {
    "ar": decode_autoregressive,
    "verify": decode_verify,
    "diffusion": decode_diffusion,
}

__all__ = ["EDIT_MODES", "MODES", "Answer", "DecodingMode", "Passes", "Snapshot", "decode_in_blocks"]
