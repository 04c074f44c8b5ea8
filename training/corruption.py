"""Packed rows to training batches: which blocks are denoised, and what is hidden or wrong in them.

Shapes: B rows, C clean tokens, N noisy tokens = (N / S) blocks of S tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import torch

from diffill.model.masks import CLEAN, StreamLayout
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS

from .batch import Batch
from .packing import Rows


class CorruptionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How blocks are chosen and corrupted."""

    block_size: int = 8
    noisy_length: int = 128
    """Noisy tokens a row; a multiple of `block_size`."""
    full_mask: float = 0.5
    """Share of blocks that are masked whole: what decoding meets first (arXiv 2511.08923)."""
    substitute: float = 0.15
    """Share of the partly masked blocks in which visible tokens may be wrong (Seed Diffusion, arXiv 2508.02193)."""
    substitute_rate: float = 0.15
    visible_weight: float = 0.1
    """Loss weight of visible tokens that are right, in blocks that hold wrong ones: visible does not mean correct."""
    fill_weight: float = 0.1
    """Loss weight of the END_OF_MIDDLE tokens behind the first one."""
    middle_weight: float = 1.5
    """Causal loss weight of the middle against 1 for its surroundings."""
    middle_preference: float = 8.0
    """How much likelier a block starts inside a middle than elsewhere. One block always starts at a middle's start."""

    def __post_init__(self) -> None:
        if self.noisy_length % self.block_size:
            raise ValueError(f"noisy_length: {self.noisy_length} is not a multiple of block_size {self.block_size}")


@dataclass(frozen=True, kw_only=True)
class CleanStream:
    """Rows as the causal loss reads them.  # all [B, C]"""

    tokens: np.ndarray
    document: np.ndarray
    index: np.ndarray
    position: np.ndarray
    """Place inside the document."""
    following: np.ndarray
    """The next token, 0 where nothing is learned."""
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


def corrupt(rows: Rows, config: CorruptionConfig, generator: np.random.Generator) -> Batch:
    """A fresh corruption of `rows`; the same generator state gives the same batch."""
    stream = clean_stream(rows, config.middle_weight)
    clean, document = stream.tokens, stream.document  # [B, C]
    batch, length = clean.shape
    start, learned = _block_starts(clean, document, rows.middle, config, generator)  # 2 x [B, blocks]
    inside = np.arange(config.block_size)
    # [B, N] index into the clean stream, may run past the document
    at = (start[:, :, None] + inside).reshape(batch, -1)
    block = np.repeat(np.arange(start.shape[1]), config.block_size)
    first = np.repeat(start, config.block_size, axis=1)
    safe = np.minimum(at, length - 1)
    take = np.take_along_axis
    valid = (at < length) & (take(document, safe, axis=1) == take(document, first, axis=1))
    in_middle = take(rows.middle, first, axis=1)
    truth = np.where(valid, take(clean, safe, axis=1), END_OF_MIDDLE)

    noisy, weight = _corrupt_blocks(truth, clean, config, generator)
    weight *= np.where(valid, 1.0, np.where(in_middle, config.fill_weight, 0.0))
    weight *= np.repeat(learned, config.block_size, axis=1)

    blocks = np.concatenate([np.full_like(clean, CLEAN), np.broadcast_to(block, at.shape)], axis=1)
    return Batch(
        tokens=torch.from_numpy(np.concatenate([clean, noisy], axis=1)),
        positions=torch.from_numpy(
            np.concatenate(
                [stream.position, take(stream.position, first, axis=1) + np.tile(inside, start.shape[1])], axis=1
            )
        ),
        layout=StreamLayout(
            document=torch.from_numpy(np.concatenate([document, take(document, first, axis=1)], axis=1)),
            block=torch.from_numpy(blocks),
            order=torch.from_numpy(np.concatenate([stream.index, first], axis=1)),
        ),
        target=torch.from_numpy(np.concatenate([stream.following, truth], axis=1)),
        weight=torch.from_numpy(np.concatenate([stream.weight, weight], axis=1).astype(np.float32)),
        clean_length=length,
    )


def _block_starts(
    clean: np.ndarray,
    document: np.ndarray,
    middle: np.ndarray,
    config: CorruptionConfig,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Where blocks start, and whether they are learned from: short rows have too few good places.  # 2 x [B, N / S]

    Weighted sampling without replacement (Efraimidis and Spirakis 2006): the largest u ** (1 / weight) win.
    """
    length = clean.shape[1]
    control = (clean < NUM_CONTROL_IDS) & ~middle
    blocked = np.cumsum(control | (document < 0), axis=1)
    ahead = np.minimum(np.arange(length) + config.block_size - 1, length - 1)
    before = np.concatenate([np.zeros_like(blocked[:, :1]), blocked[:, :-1]], axis=1)
    # Context blocks are whole and hold no control token; a block in a middle may run past its end, as in decoding.
    whole = np.arange(length) + config.block_size <= length
    context = (blocked[:, ahead] == before) & ~middle & ~middle[:, ahead] & (document[:, ahead] == document) & whole
    opens = middle & ~np.concatenate([np.zeros_like(middle[:, :1]), middle[:, :-1]], axis=1)
    weight = 1e-9 + context + config.middle_preference * middle + 1e6 * opens
    score = generator.random(clean.shape) ** (1.0 / weight)
    count = config.noisy_length // config.block_size
    start = np.sort(np.argpartition(-score, count - 1, axis=1)[:, :count], axis=1)
    return start, np.take_along_axis(context | middle, start, axis=1)


def _corrupt_blocks(
    truth: np.ndarray, clean: np.ndarray, config: CorruptionConfig, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy tokens and their loss weights.  # 2 x [B, N]"""
    batch, length = truth.shape
    size = config.block_size
    shape = (batch, length // size, size)
    # Clipped noise (arXiv 2601.15892): at least 1 / S, and at least one masked token, or the block teaches nothing.
    share = np.where(generator.random(shape[:2]) < config.full_mask, 1.0, generator.uniform(1 / size, 1.0, shape[:2]))
    draw = generator.random(shape)
    masked = (draw < share[:, :, None]) | (draw == draw.min(axis=2, keepdims=True))
    edited = generator.random(shape[:2]) < config.substitute
    wrong = ~masked & edited[:, :, None] & (generator.random(shape) < config.substitute_rate)
    masked, wrong = masked.reshape(truth.shape), wrong.reshape(truth.shape)
    substitute = generator.choice(clean[clean >= NUM_CONTROL_IDS], truth.shape)  # tokens as often as they occur
    noisy = np.where(masked, MASK, np.where(wrong, substitute, truth))
    visible = np.repeat(edited, size, axis=1) & ~masked
    weight = np.where(masked | wrong, 1.0, np.where(visible, config.visible_weight, 0.0))
    return noisy, weight
