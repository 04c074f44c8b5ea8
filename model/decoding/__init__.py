"""Three ways to fill a span with the same weights: `ar`, `verify`, `diffusion`. With a draft of it: `EDIT_MODES`.

Each is a generator over forward passes: it yields a `Snapshot` after each, so the engine can stop, show and count
between passes without any mode knowing about it. What is filled grows in an `Answer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..cache import KVCache
from ..network import Network
from ..request import Mode
from .answer import Answer, Snapshot
from .autoregressive import decode_autoregressive
from .diffusion import decode_diffusion
from .edit import EDIT_MODES
from .verify import decode_verify

DecodingMode = Callable[[Network, KVCache, int, Answer], Iterator[Snapshot]]
"""(network, cache that holds the prompt but its last token, that last token, answer to fill) -> one snapshot a pass."""

MODES: dict[Mode, DecodingMode] = {
    "ar": decode_autoregressive,
    "verify": decode_verify,
    "diffusion": decode_diffusion,
}

__all__ = ["EDIT_MODES", "MODES", "Answer", "DecodingMode", "Snapshot"]
