"""Packed rows to training batches: which blocks are denoised, and what is hidden or wrong in them.

Shapes: B rows, C clean tokens, N noisy tokens = K blocks of S tokens.
"""

from __future__ import annotations

import msgspec
import numpy as np

from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS

from .batch import Batch, stacked
from .blocks import block_starts, with_blocks
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
    start, learned = _block_starts(rows, config, size, generator)  # 2 x [B, K]
    at = (start[:, :, None] + np.arange(size)).reshape(batch, -1)  # [B, N] into the clean stream, may run past the text
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

    return with_blocks(stream, start, noisy, target=truth, weight=weight)


def _block_starts(
    rows: Rows, config: CorruptionConfig, size: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """As `blocks.block_starts`, some of them twice.  # 2 x [B, K]"""
    start, learnable = block_starts(
        rows, config.noisy_length // size, size, middle_preference=config.middle_preference, generator=generator
    )
    if config.complementary:
        start = twins(start, config.paired, generator)
    start = np.sort(start, axis=1)
    return start, np.take_along_axis(learnable, start, axis=1)


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
