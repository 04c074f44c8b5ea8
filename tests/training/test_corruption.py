"""Batches: the noisy stream says of every block where it stands, what is true there, and what it costs to be wrong."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.masks import CLEAN
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS
from diffill.training.batch import Batch
from diffill.training.corruption import CorruptionConfig, corrupt
from diffill.training.packing import PADDING, Rows
from tests.training.packed import random_rows

CONFIG = CorruptionConfig(block_size=4, noisy_length=32)


def batch_of(rows: Rows, config: CorruptionConfig = CONFIG, seed: int = 0) -> Batch:
    return corrupt(rows, config, np.random.default_rng(seed))


def check_clean(rows: Rows, batch: Batch, config: CorruptionConfig) -> None:
    """By loops: the next token of the same document, where the model and not the format decides it."""
    for row in range(len(rows)):
        position = 0
        for place in range(batch.clean_length):
            document = rows.document[row, place]
            new = place == 0 or document != rows.document[row, place - 1]
            position = 0 if new else position + 1
            assert batch.tokens[row, place] == rows.tokens[row, place]
            assert batch.positions[row, place] == position
            assert batch.layout.document[row, place] == document
            assert batch.layout.block[row, place] == CLEAN
            assert batch.layout.order[row, place] == place
            weight = float(batch.weight[row, place])
            if place + 1 == batch.clean_length or document == PADDING or rows.document[row, place + 1] != document:
                assert weight == 0.0
                continue
            following = rows.tokens[row, place + 1]
            if following < NUM_CONTROL_IDS and following != END_OF_MIDDLE:
                assert weight == 0.0
            else:
                assert batch.target[row, place] == following
                assert weight == (config.middle_weight if rows.middle[row, place + 1] else 1.0)


def check_block(rows: Rows, batch: Batch, config: CorruptionConfig, row: int, block: int) -> None:
    size, length = config.block_size, batch.clean_length
    inside = slice(length + block * size, length + (block + 1) * size)
    starts = batch.layout.order[row, inside].tolist()
    first = starts[0]
    document = int(rows.document[row, first])
    assert starts == [first] * size
    assert batch.layout.block[row, inside].tolist() == [block] * size
    assert batch.layout.document[row, inside].tolist() == [document] * size
    tokens, target = batch.tokens[row, inside].tolist(), batch.target[row, inside].tolist()
    weight = batch.weight[row, inside].tolist()
    if not any(weight):
        return  # a place to fill the shape, nothing is learned from it
    assert document != PADDING
    position = int(batch.positions[row, first])
    assert batch.positions[row, inside].tolist() == list(range(position, position + size))
    assert MASK in tokens, "a block without a mask teaches nothing"
    in_middle = bool(rows.middle[row, first])
    for offset in range(size):
        place = first + offset
        there = place < length and rows.document[row, place] == document
        assert there or in_middle, "context blocks are whole"
        truth = int(rows.tokens[row, place]) if there else END_OF_MIDDLE
        assert target[offset] == truth
        assert truth >= NUM_CONTROL_IDS or truth == END_OF_MIDDLE, "the model never says a token of the format"
        known = 1.0 if there else config.fill_weight
        if tokens[offset] == MASK or tokens[offset] != truth:
            assert weight[offset] == pytest.approx(known)
        else:  # right as it stands, or replaced by the same
            options = (0.0, known * config.visible_weight, known)
            assert any(weight[offset] == pytest.approx(option) for option in options)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    length=st.sampled_from([48, 64, 96]),
    examples=st.integers(1, 8),
    longest=st.integers(1, 20),
    substitute=st.sampled_from([0.0, 0.15, 1.0]),
)
def test_batch_is_consistent_with_the_clean_rows(
    seed: int, length: int, examples: int, longest: int, substitute: float
) -> None:
    rows = random_rows(seed, length=length, examples=examples, longest=longest)
    if not len(rows):
        return
    config = CorruptionConfig(block_size=4, noisy_length=32, substitute=substitute, substitute_rate=0.5)
    batch = batch_of(rows, config, seed)
    assert batch.clean_length == length
    assert batch.tokens.shape == batch.target.shape == batch.weight.shape == (len(rows), length + 32)
    check_clean(rows, batch, config)
    for row in range(len(rows)):
        for block in range(8):
            check_block(rows, batch, config, row, block)


def test_a_block_begins_where_each_middle_begins() -> None:
    """That is where decoding begins."""
    rows = random_rows(1, length=96, examples=30)
    batch = batch_of(rows)
    starts = batch.layout.order[:, batch.clean_length :]
    opened = 0
    for row in range(len(rows)):
        middle = rows.middle[row]
        opens = [place for place in range(96) if middle[place] and not (place and middle[place - 1])]
        assert set(opens) <= set(starts[row].tolist())
        opened += len(opens)
    assert opened > 10


def test_middles_are_preferred() -> None:
    rows = random_rows(2, length=96, examples=60)
    shares = []
    for preference in (1.0, 50.0):
        config = CorruptionConfig(block_size=4, noisy_length=16, middle_preference=preference)
        batch = batch_of(rows, config)
        starts = batch.layout.order[:, batch.clean_length :].numpy()
        shares.append(np.take_along_axis(rows.middle, starts, axis=1).mean())
    assert shares[0] + 0.1 < shares[1]


def fully_masked(batch: Batch, size: int) -> float:
    noisy = batch.tokens[:, batch.clean_length :].view(len(batch.tokens), -1, size)
    return float((noisy == MASK).all(dim=-1).float().mean())


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 1.0, 1.0), (0.5, 0.45, 0.68), (0.0, 0.0, 0.25)])
def test_share_of_blocks_that_are_masked_whole(share: float, least: float, most: float) -> None:
    """With 0.5, one block in eight of the others is masked whole by chance."""
    rows = random_rows(3, length=96, examples=120)
    batch = batch_of(rows, CorruptionConfig(block_size=8, noisy_length=64, full_mask=share))
    assert least <= fully_masked(batch, 8) <= most


def test_without_substitution_what_is_visible_is_right() -> None:
    rows = random_rows(4, length=96, examples=30)
    batch = batch_of(rows, CorruptionConfig(block_size=4, noisy_length=32, substitute=0.0))
    tokens, target = (part[:, batch.clean_length :] for part in (batch.tokens, batch.target))
    visible = tokens != MASK
    assert visible.any()
    assert torch.equal(tokens[visible], target[visible])
    assert not batch.weight[:, batch.clean_length :][visible].any()


def test_wrong_tokens_are_of_the_text_and_to_be_corrected() -> None:
    rows = random_rows(5, length=96, examples=30)
    batch = batch_of(rows, CorruptionConfig(block_size=4, noisy_length=32, substitute=1.0, substitute_rate=0.9))
    tokens, target, weight = (part[:, batch.clean_length :] for part in (batch.tokens, batch.target, batch.weight))
    wrong = (tokens != MASK) & (tokens != target)
    assert wrong.sum() > 20
    assert (tokens[wrong] >= NUM_CONTROL_IDS).all()
    assert set(tokens[wrong].tolist()) <= set(rows.tokens.ravel().tolist())
    assert ((weight[wrong] > 0.9) | (weight[wrong] < 0.11)).all()


def tensors(batch: Batch) -> list[torch.Tensor]:
    layout = [getattr(batch.layout, item.name) for item in fields(batch.layout)]
    return [batch.tokens, batch.positions, batch.target, batch.weight, *layout]


def test_same_generator_state_same_batch() -> None:
    rows = random_rows(6, length=96, examples=20)
    first, again, other = (tensors(batch_of(rows, seed=seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_rows_are_not_changed() -> None:
    rows = random_rows(7, length=96, examples=20)
    before = rows.tokens.copy()
    for array in (rows.tokens, rows.document, rows.middle):
        array.flags.writeable = False  # as they are when mapped into memory
    batch_of(rows)
    assert np.array_equal(rows.tokens, before)


def test_noisy_length_is_a_number_of_blocks() -> None:
    with pytest.raises(ValueError, match="noisy_length: 10 is not a multiple of block size 4"):
        CorruptionConfig(block_size=4, noisy_length=10)
