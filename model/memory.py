"""Whether a model fits a device, computed before anything is loaded. No torch."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from .config import ModelConfig
from .hugging_face.layout import is_hugging_face
from .hugging_face.vocabulary import read_vocabulary
from .request import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS

RUNTIME_BYTES = 350_000_000
"""Of the engine process, or of a GPU's context, before it holds a weight."""
CACHE_BYTES = 256 << 20
"""Wanted for keys and values; more only where one request of the largest size would not fit."""
KEPT_BYTES = 128 << 20
"""Of it on a CPU, where the memory is everybody's: more is taken while requests under way need it, but not kept filled
with what nobody reads. Eight prompts of the shipped model, as long as editors send them."""
LEAST_CACHE_TOKENS = 2048
"""With room for fewer, a prompt as editors send it and its answer would not fit."""
STEP_ROWS = 512
PREDICTED_ROWS = 64

logger = logging.getLogger(__name__)


class TooLarge(ValueError):
    """A model that does not fit a device."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a model takes on a device, in bytes."""

    weights: int
    cache: int
    least_cache: int
    working: int
    """The process itself, what a step works in, and a matrix on its way."""

    @property
    def least(self) -> int:
        return self.weights + self.least_cache + self.working

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.working

    def cache_within(self, free: int) -> int | None:
        """Bytes for keys and values where so many are free; None is as many as wanted.

        Raises:
            TooLarge: weights and the smallest useful cache do not fit; one line.
        """
        if free < self.least:
            raise TooLarge(f"model: {self} and {_size(free)} are free")
        if free < self.total:
            smaller = free - self.weights - self.working
            logger.warning("%s and %s are free: the cache gets %s", self, _size(free), _size(smaller))
            return smaller
        return None

    def __str__(self) -> str:
        parts = f"weights {_size(self.weights)}, cache {_size(self.cache)}, work {_size(self.working)}"
        return f"it needs {_size(self.total)} ({parts})"


def footprint(checkpoint: Path, device: str) -> Footprint:
    """What a checkpoint takes on `cpu`, `cuda` or `mps`.

    Raises:
        ValueError: it is none; one line.
    """
    config = ModelConfig.load(checkpoint)
    table = config.vocabulary_size * config.hidden_size
    int8 = device == "cpu" and _is_int8(checkpoint, config)
    values = 1 if int8 else 4 if device == "cpu" else 2
    in_fp32 = 2 * table if int8 and is_hugging_face(checkpoint) else 0  # the largest matrix, before it is rounded
    slot = 2 * config.num_layers * config.num_key_value_heads * config.head_size * (4 if device == "cpu" else 2)
    row = 3 * 2 * config.intermediate_size + 4 * config.hidden_size
    return Footprint(
        # Rows of int8 that are both looked up and multiplied with are held in two forms, but for the native program.
        weights=values * (parameters(config) + (table if int8 else 0)),
        cache=max(CACHE_BYTES, slot * min(MAX_PROMPT_TOKENS + MAX_NEW_TOKENS, config.max_positions)),
        least_cache=slot * min(LEAST_CACHE_TOKENS, config.max_positions),
        working=RUNTIME_BYTES + 4 * (STEP_ROWS * row + max(in_fp32, 3 * PREDICTED_ROWS * config.vocabulary_size)),
    )


def parameters(config: ModelConfig) -> int:
    """Weights of the matrices; an embedding that is the head too counts once."""
    attended = config.num_heads * config.head_size
    key_values = 2 * config.num_key_value_heads * config.head_size
    layer = config.hidden_size * (2 * attended + key_values + 3 * config.intermediate_size)
    tables = 1 if config.tied_head else 2
    return tables * config.vocabulary_size * config.hidden_size + config.num_layers * layer


def _is_int8(checkpoint: Path, config: ModelConfig) -> bool:
    """Whether a CPU holds it in int8: rounded when it is read, or stored so."""
    if is_hugging_face(checkpoint):
        return read_vocabulary(checkpoint).profile.int8
    try:
        shards = json.loads((checkpoint / "weights.json").read_bytes())["shards"].values()
        return bool(sum(shard["bytes"] for shard in shards) < 1.5 * parameters(config))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # said when it is loaded


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
