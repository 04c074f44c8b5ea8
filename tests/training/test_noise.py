"""Masks inside blocks: how many tokens, which ones, and pairs that hide each other's rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.tokenizer import MASK
from diffill.training.corruption import CorruptionConfig, corrupt
from diffill.training.noise import masked_tokens, twins
from tests.training.packed import random_rows


def masks(twin: np.ndarray, seed: int = 0, **changes: float) -> np.ndarray:
    values = {"size": 8, "full_mask": 0.0, "ratio_limit": 1.0, "position_bias": 0.0} | changes
    return masked_tokens(twin=twin, generator=np.random.default_rng(seed), **values)  # type: ignore[arg-type]


NO_TWIN = np.zeros((200, 20), dtype=bool)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 99),
    st.sampled_from([2, 4, 8, 16]),
    st.floats(0, 1),
    st.floats(0.001, 1),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.booleans(),
)
def test_every_block_teaches_and_twins_are_complements(
    seed: int, size: int, full_mask: float, ratio_limit: float, position_bias: float, paired: bool
) -> None:
    twin = np.zeros((3, 6), dtype=bool)
    twin[:, 1::2] = paired
    masked = masks(twin, seed, size=size, full_mask=full_mask, ratio_limit=ratio_limit, position_bias=position_bias)
    assert masked.shape == (3, 6, size)
    assert masked.any(axis=2).all()
    if paired:
        assert np.array_equal(masked[:, 1::2], ~masked[:, ::2])


def test_masked_share_is_even_without_bias() -> None:
    masked = masks(NO_TWIN)
    assert masked.mean() == pytest.approx(0.5, abs=0.03)
    assert np.ptp(masked.mean(axis=(0, 1))) < 0.05


def test_later_tokens_are_masked_more_when_few_are() -> None:
    masked = masks(NO_TWIN, position_bias=0.1)
    few, many = masked.sum(axis=2) <= 3, masked.sum(axis=2) >= 6
    assert (np.diff(masked[few].mean(axis=0)) > 0).all()
    assert masked[few].mean(axis=0)[-1] > 6 * masked[few].mean(axis=0)[0]
    assert np.ptp(masked[many].mean(axis=0)) < np.ptp(masked[few].mean(axis=0))


def test_the_share_warms_up() -> None:
    assert masks(NO_TWIN, full_mask=0.5, ratio_limit=0.01).sum(axis=2).max() == 1
    assert masks(NO_TWIN, full_mask=0.5, ratio_limit=0.5).sum(axis=2).max() <= 5
    assert masks(NO_TWIN, full_mask=1.0).all()


def test_twins_repeat_the_preferred_places() -> None:
    start = np.arange(40).reshape(2, 20)
    generator = np.random.default_rng(0)
    assert np.array_equal(twins(start, 0.0, generator), start)
    assert np.array_equal(twins(start, 1.0, generator)[:, 10:], start[:, :10])


def test_shares_of_full_and_paired_blocks() -> None:
    config = CorruptionConfig(block_size=8, noisy_length=128, complementary=0.5, full_mask=0.5, substitute=0.0)
    batch = corrupt(random_rows(0, length=512, examples=900, longest=60), config, np.random.default_rng(0))
    noisy = batch.tokens[:, batch.clean_length :].reshape(len(batch.tokens), -1, 8).numpy() == MASK
    start = batch.layout.order[:, batch.clean_length :: 8].numpy()
    second = start[:, 1:] == start[:, :-1]
    assert noisy.all(axis=2).mean() == pytest.approx(0.5, abs=0.05)
    assert 2 * second.mean() == pytest.approx(config.paired, abs=0.04)
    assert np.array_equal(noisy[:, 1:][second], ~noisy[:, :-1][second])


def test_blocks_and_masks_grow_with_the_stage() -> None:
    config = CorruptionConfig(
        block_size=8, other_block_sizes=(16,), growth=(4, 8), growth_steps=10, warmup_steps=4, noisy_length=64
    )
    assert [config.block_sizes(step) for step in (0, 4, 5, 9, 10, None)] == [(4,), (4,), (8,), (8,), (8, 16), (8, 16)]
    assert [config.ratio_limit(step) for step in (0, 1, 3, 4, None)] == [0.25, 0.5, 1.0, 1.0, 1.0]


def test_sizes_share_the_rows() -> None:
    config = CorruptionConfig(block_size=8, other_block_sizes=(16,), noisy_length=64)
    rows = random_rows(1, length=128, examples=60)
    batch = corrupt(rows, config, np.random.default_rng(0))
    assert len(batch.tokens) == len(rows)
    counts = [len(set(row.tolist())) for row in batch.layout.block[:, batch.clean_length :]]
    assert {size: counts.count(64 // size) for size in (8, 16)} == {8: (len(rows) + 1) // 2, 16: len(rows) // 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"other_block_sizes": (48,)}, "noisy_length: 128 is not a multiple of block size 48"),
        ({"growth": (1,)}, "noisy_length: 128 is not a multiple of block size 1"),
        ({"complementary": 1.5}, "complementary: 1.5 is not in"),
    ],
)
def test_impossible_noise_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorruptionConfig(**changes)  # type: ignore[arg-type]
