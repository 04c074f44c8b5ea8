"""Packed rows to batches of drafts: what is wrong in a block, and the label that each of its tokens needs.

A block starts somewhere in a text. Its tokens are those of a draft of the text there: the original in an edit, the text
itself elsewhere; then noise. No token is presumed right: every one has a label (Seed Diffusion, arXiv 2508.02193).

Shapes: B rows, C clean tokens, K blocks a row, S tokens a block, N = K x S, W tokens of a window >= S.
"""

from __future__ import annotations

import msgspec
import numpy as np

from diffill.model.tokenizer import (
    END_OF_MIDDLE,
    INSTRUCTION,
    MASK,
    NUM_CONTROL_IDS,
    ORIGINAL,
    UPDATED,
)

from .alignment import aligned_places, edit_labels
from .batch import Batch
from .blocks import block_starts, with_blocks
from .clean_stream import clean_stream
from .packing import Rows

OWN_GUESS = NUM_CONTROL_IDS - 1
"""A reserved id that stands nowhere else: the stage puts a guess of the model's own in its place."""


class EditCorruptionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How drafts are corrupted and weighed."""

    block_size: int = 8
    noisy_length: int = 128
    """Noisy tokens a row; a multiple of `block_size`, and that of the rows they are trained with."""
    noise: float = 0.1
    """Share of a block's tokens that are deleted, inserted before or substituted: drawn from [0, this] (Seed)."""
    at_least_one: float = 0.5
    """Share of blocks with one such operation at least."""
    own_guesses: float = 0.5
    """Share of the substitutes that are the model's own guesses at a masked place: the errors met when decoding."""
    masked: float = 0.5
    """Share of blocks of which some tokens are masked, too: the states between draft and answer."""
    lookahead: int = 16
    """Tokens behind a block that its labels are aligned with."""
    keep_weight: float = 0.3
    """Loss weight of tokens that are to be kept, against 1 for the others: most are."""
    fill_weight: float = 0.1
    """Loss weight of the END_OF_MIDDLE tokens behind the first one."""
    middle_weight: float = 1.5
    """Causal loss weight of the answer against 1 for its surroundings."""
    middle_preference: float = 8.0
    """How much likelier a block starts inside an answer than elsewhere."""

    def __post_init__(self) -> None:
        if self.block_size < 2 or self.noisy_length % self.block_size:
            raise ValueError(f"noisy_length: {self.noisy_length} is not a multiple of block_size {self.block_size}")
        for name in ("noise", "at_least_one", "own_guesses", "masked"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} is not in [0, 1]")


def corrupt_drafts(rows: Rows, config: EditCorruptionConfig, generator: np.random.Generator) -> Batch:
    """A fresh corruption of `rows`; the same generator state gives the same batch."""
    size, batch = config.block_size, len(rows)
    stream = clean_stream(rows, config.middle_weight)
    place, end = _drafts(rows)
    stream.weight[_given(rows)] = 0.0  # nobody writes the original, it is there
    start, learnable = block_starts(
        rows, config.noisy_length // size, size, middle_preference=config.middle_preference, generator=generator
    )
    start = np.sort(start, axis=1)
    learned = _at(learnable & ~_given(rows), start)

    window = size + config.lookahead
    target = _windows(stream.tokens, start, _at(_ends(rows), start), window)  # [B * K, W]
    draft = _windows(stream.tokens, _at(place, start), _at(end, start), window)
    vocabulary = stream.tokens[stream.tokens >= NUM_CONTROL_IDS]
    noisy = _noisy(draft, config, vocabulary, generator)
    labels = edit_labels(noisy, target)[:, :size]
    noisy = noisy[:, :size]

    weight = np.where(noisy == labels, config.keep_weight, 1.0)
    weight[_behind_end(noisy)] = config.fill_weight
    weight *= learned.reshape(-1, 1)
    shape = (batch, config.noisy_length)
    return with_blocks(stream, start, noisy.reshape(shape), target=labels.reshape(shape), weight=weight.reshape(shape))


def _drafts(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Where in its row the draft of each token's continuation is, and where that draft ends.  # 2 x [B, C]

    In the answer of an edit: in the original, at the aligned place. Elsewhere: the text itself.
    """
    place = np.broadcast_to(np.arange(rows.tokens.shape[1]), rows.tokens.shape).copy()
    end = _ends(rows).copy()
    for row in np.flatnonzero((rows.tokens == UPDATED).any(axis=1)):
        tokens = rows.tokens[row]
        for updated in np.flatnonzero(tokens == UPDATED):
            opening = int(np.flatnonzero(tokens[:updated] == ORIGINAL)[-1]) + 1
            stop = updated + 1 + int(np.flatnonzero(tokens[updated + 1 :] == END_OF_MIDDLE)[0])
            places = aligned_places(tokens[opening:updated].tolist(), tokens[updated + 1 : stop].tolist())
            place[row, updated + 1 : stop + 1] = opening + np.array(places)
            end[row, updated + 1 : stop + 1] = updated
    return place, end


def _given(rows: Rows) -> np.ndarray:
    """Tokens of an edit's instruction and original, and those before which they stand.  # [B, C] bool"""
    opens = (rows.tokens == INSTRUCTION).astype(np.int64)
    closes = (rows.tokens == UPDATED).astype(np.int64)
    given: np.ndarray = np.cumsum(opens - closes, axis=1) > 0
    return given


def _ends(rows: Rows) -> np.ndarray:
    """Index behind the last token of each token's document, its END_OF_MIDDLE left out.  # [B, C]"""
    length = rows.tokens.shape[1]
    last = np.ones_like(rows.middle)
    last[:, :-1] = rows.document[:, 1:] != rows.document[:, :-1]
    behind = np.where(last, np.arange(length) + 1 - (rows.tokens == END_OF_MIDDLE), length)
    ends: np.ndarray = np.minimum.accumulate(behind[:, ::-1], axis=1)[:, ::-1]
    return ends


def _at(values: np.ndarray, start: np.ndarray) -> np.ndarray:
    """[B, C], [B, K] -> [B, K]"""
    return np.take_along_axis(values, start, axis=1)


def _windows(tokens: np.ndarray, start: np.ndarray, ends: np.ndarray, window: int) -> np.ndarray:
    """What stands from `start` on, END_OF_MIDDLE from `ends` on.  # [B, C], 2 x [B, K] -> [B * K, W]"""
    at = start[:, :, None] + np.arange(window)  # [B, K, W]
    rows = np.arange(len(tokens))[:, None, None]
    inside = at < ends[:, :, None]
    return np.where(inside, tokens[rows, np.minimum(at, tokens.shape[1] - 1)], END_OF_MIDDLE).reshape(-1, window)


def _noisy(
    draft: np.ndarray, config: EditCorruptionConfig, vocabulary: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Drafts with tokens deleted, inserted, substituted and masked, of the same length.  # [N, W] -> [N, W]"""
    size, shape = config.block_size, draft.shape
    text = ~_behind_end(draft)
    # Which tokens are hit: a share drawn for each block, and in some blocks the unluckiest token in any case.
    draw = np.where(text, generator.random(shape), 1.0)
    hit = draw < generator.uniform(0.0, config.noise, (len(draft), 1))
    forced = generator.random(len(draft)) < config.at_least_one
    unluckiest = draw[:, :size].argmin(axis=1)
    hit[forced, unluckiest[forced]] = True
    operation = np.where(hit, generator.integers(0, 3, shape), -1)
    deleted, inserted, substituted = operation == 0, operation == 1, operation == 2

    wrong = generator.choice(vocabulary, (2, *shape))  # tokens as often as they occur
    wrong[generator.random((2, *shape)) < config.own_guesses] = OWN_GUESS
    tokens = np.stack([wrong[0], np.where(substituted, wrong[1], draft)], axis=2).reshape(len(draft), -1)
    kept = np.stack([inserted, ~deleted], axis=2).reshape(len(draft), -1)
    order = np.argsort(~kept, axis=1, kind="stable")[:, : shape[1]]
    kept = np.take_along_axis(kept, order, axis=1)
    noisy = np.where(kept, np.take_along_axis(tokens, order, axis=1), END_OF_MIDDLE)

    share = np.where(generator.random(len(draft)) < config.masked, generator.random(len(draft)), 0.0)
    masked = (generator.random(shape) < share[:, None]) & ~_behind_end(noisy)
    return np.where(masked, MASK, noisy)


def _behind_end(tokens: np.ndarray) -> np.ndarray:
    """Whether END_OF_MIDDLE stands somewhere before a token.  # [N, W] bool"""
    before: np.ndarray = np.cumsum(tokens == END_OF_MIDDLE, axis=1) - (tokens == END_OF_MIDDLE) > 0
    return before
