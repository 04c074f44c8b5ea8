"""Packed rows to training batches: which blocks are denoised, and what is hidden or wrong in them.

Shapes: B rows, C clean tokens, N noisy tokens = K blocks of S tokens.
"""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from diffill.model.masks import CLEAN, StreamLayout
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS

from .batch import Batch, stacked
from .clean_stream import clean_stream
from .noise import masked_tokens, twins
from .packing import Rows, take


class CorruptionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How blocks are chosen and corrupted."""

    block_size: int = 8
    """Tokens that are denoised together, and the size that the weights are decoded with."""
    other_block_sizes: tuple[int, ...] = ()
    """Further sizes; each has as many of the rows as `block_size` (16 was best at 1.5B, arXiv 2512.14067)."""
    growth: tuple[int, ...] = ()
    """Sizes before those, one after the other: small blocks are closest to the causal start (arXiv 2601.15892)."""
    growth_steps: int = 0
    """Optimizer steps that the growth takes."""
    noisy_length: int = 128
    """Noisy tokens a row; a multiple of every block size."""
    full_mask: float = 0.5
    """Share of blocks that are masked whole: what decoding meets first (arXiv 2511.08923)."""
    complementary: float = 0.0
    """Share of the partly masked blocks that come in pairs, each hiding what the other shows (arXiv 2509.26328)."""
    position_bias: float = 0.0
    """Part of a block over which the chance to be masked doubles when few are (0.1 in arXiv 2512.14067); 0 for none."""
    warmup_steps: int = 0
    """Steps over which the masked share of a block grows from one token to all (arXiv 2601.15892)."""
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
        for size in (self.block_size, *self.other_block_sizes, *self.growth):
            if size < 2 or self.noisy_length % size:
                raise ValueError(f"noisy_length: {self.noisy_length} is not a multiple of block size {size}")
        for name in ("full_mask", "complementary", "position_bias", "substitute", "substitute_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} is not in [0, 1]")

    def block_sizes(self, step: int | None = None) -> tuple[int, ...]:
        """Sizes in use at optimizer step `step` of the stage; None for after the growth. The first is decoded with."""
        if step is None or step >= self.growth_steps or not self.growth:
            return (self.block_size, *self.other_block_sizes)
        return (self.growth[step * len(self.growth) // self.growth_steps],)

    @property
    def paired(self) -> float:
        """Share of all blocks that are one of a complementary pair."""
        return self.complementary * (1.0 - self.full_mask)

    def ratio_limit(self, step: int | None = None) -> float:
        """Largest masked share of a block at `step`."""
        return 1.0 if step is None or step >= self.warmup_steps else (step + 1) / self.warmup_steps


def corrupt(rows: Rows, config: CorruptionConfig, generator: np.random.Generator, *, step: int | None = None) -> Batch:
    """A fresh corruption of `rows`; the same generator state gives the same batch.

    Args:
        step: of the stage, while blocks and masks still grow; None for after that.
    """
    sizes = config.block_sizes(step)
    size_of_row = generator.permutation(np.arange(len(rows)) % len(sizes))
    parts = [
        _corrupt(take(rows, size_of_row == index), config, size, config.ratio_limit(step), generator)
        for index, size in enumerate(sizes)
        if (size_of_row == index).any()
    ]
    return parts[0] if len(parts) == 1 else stacked(parts)


def _corrupt(
    rows: Rows, config: CorruptionConfig, size: int, ratio_limit: float, generator: np.random.Generator
) -> Batch:
    """All blocks of one size."""
    stream = clean_stream(rows, config.middle_weight)
    clean, document = stream.tokens, stream.document  # [B, C]
    batch, length = clean.shape
    start, learned = _block_starts(clean, document, rows.middle, config, size, generator)  # 2 x [B, K]
    inside = np.arange(size)
    # [B, N] index into the clean stream, may run past the document
    at = (start[:, :, None] + inside).reshape(batch, -1)
    block = np.repeat(np.arange(start.shape[1]), size)
    first = np.repeat(start, size, axis=1)
    safe = np.minimum(at, length - 1)
    take_along = np.take_along_axis
    valid = (at < length) & (take_along(document, safe, axis=1) == take_along(document, first, axis=1))
    in_middle = take_along(rows.middle, first, axis=1)
    truth = np.where(valid, take_along(clean, safe, axis=1), END_OF_MIDDLE)

    twin = np.zeros_like(learned)
    twin[:, 1:] = start[:, 1:] == start[:, :-1]
    masked = masked_tokens(
        twin=twin,
        size=size,
        full_mask=config.full_mask / (1.0 - config.paired),
        ratio_limit=ratio_limit,
        position_bias=config.position_bias,
        generator=generator,
    )
    noisy, weight = _noisy_tokens(truth, masked, clean, config, generator)
    weight *= np.where(valid, 1.0, np.where(in_middle, config.fill_weight, 0.0))
    weight *= np.repeat(learned, size, axis=1)

    def both(one: np.ndarray, other: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([one, other], axis=1))

    return Batch(
        tokens=both(clean, noisy),
        positions=both(stream.position, take_along(stream.position, first, axis=1) + np.tile(inside, start.shape[1])),
        layout=StreamLayout(
            document=both(document, take_along(document, first, axis=1)),
            block=both(np.full_like(clean, CLEAN), np.broadcast_to(block, at.shape)),
            order=both(stream.index, first),
        ),
        target=both(stream.following, truth),
        weight=both(stream.weight, weight).float(),
        clean_length=length,
    )


def _block_starts(
    clean: np.ndarray,
    document: np.ndarray,
    middle: np.ndarray,
    config: CorruptionConfig,
    size: int,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Where blocks start, and whether they are learned from: short rows have too few good places.  # 2 x [B, K]

    Weighted sampling without replacement (Efraimidis and Spirakis 2006): the largest u ** (1 / weight) win.
    """
    length = clean.shape[1]
    control = (clean < NUM_CONTROL_IDS) & ~middle
    blocked = np.cumsum(control | (document < 0), axis=1)
    ahead = np.minimum(np.arange(length) + size - 1, length - 1)
    before = np.concatenate([np.zeros_like(blocked[:, :1]), blocked[:, :-1]], axis=1)
    # Context blocks are whole and hold no control token; a block in a middle may run past its end, as in decoding.
    whole = np.arange(length) + size <= length
    context = (blocked[:, ahead] == before) & ~middle & ~middle[:, ahead] & (document[:, ahead] == document) & whole
    opens = middle & ~np.concatenate([np.zeros_like(middle[:, :1]), middle[:, :-1]], axis=1)
    weight = 1e-9 + context + config.middle_preference * middle + 1e6 * opens
    score = generator.random(clean.shape) ** (1.0 / weight)
    count = config.noisy_length // size
    start = np.argpartition(-score, count - 1, axis=1)[:, :count]
    if config.complementary:
        preferred = np.take_along_axis(score, start, axis=1).argsort(axis=1)[:, ::-1]
        start = twins(np.take_along_axis(start, preferred, axis=1), config.paired, generator)
    start = np.sort(start, axis=1)
    return start, np.take_along_axis(context | middle, start, axis=1)


def _noisy_tokens(
    truth: np.ndarray,
    hidden: np.ndarray,
    clean: np.ndarray,
    config: CorruptionConfig,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy tokens and their loss weights, the masks of each block given.  # 2 x [B, N]"""
    edited = np.repeat(generator.random(hidden.shape[:2]) < config.substitute, hidden.shape[2], axis=1)
    masked = hidden.reshape(truth.shape)
    wrong = ~masked & edited & (generator.random(truth.shape) < config.substitute_rate)
    substitute = generator.choice(clean[clean >= NUM_CONTROL_IDS], truth.shape)  # tokens as often as they occur
    noisy = np.where(masked, MASK, np.where(wrong, substitute, truth))
    weight = np.where(masked | wrong, 1.0, np.where(edited, config.visible_weight, 0.0))
    return noisy, weight
