"""Operations are counted as the pass makes them, and weights of a step do not depend on how it is split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from diffill.model.masks import dense_mask
from diffill.training.batch import normalised, stacked
from diffill.training.causal import causal_batch
from diffill.training.corruption import CorruptionConfig, corrupt
from diffill.training.loss import joint_loss
from diffill.training.packing import take
from diffill.training.throughput import peak_flops, training_flops
from tests.tiny import tiny_config, tiny_transformer
from tests.training.packed import random_rows


def test_matrices_are_counted_as_torch_counts_them() -> None:
    """Attention aside, whose dense form computes the pairs that do not see each other too."""
    config = tiny_config()
    model = tiny_transformer(config).requires_grad_(True)
    batch = causal_batch(random_rows(0, length=80, examples=20), 1.0)
    with FlopCounterMode(display=False) as counter:
        joint_loss(model, batch).total.backward()  # type: ignore[no-untyped-call]
    dense = 12 * config.num_layers * config.num_heads * config.head_size * batch.tokens.shape[1] * batch.tokens.numel()
    pairs = int(dense_mask(batch.layout).sum())
    seen = 12 * config.num_layers * config.num_heads * config.head_size * pairs
    assert training_flops(config, batch) - seen == pytest.approx(counter.get_total_flops() - dense, rel=0.02)


def test_pairs_are_those_that_see_each_other() -> None:
    config = tiny_config()
    rows = random_rows(1, length=96, examples=40)
    rows = take(rows, (rows.document >= 0).all(axis=1))
    batch = corrupt(rows, CorruptionConfig(block_size=4, noisy_length=32), np.random.default_rng(0))
    alone = training_flops(config, replace(batch, positions=torch.full_like(batch.positions, -1)))
    attention = 12 * config.num_layers * config.num_heads * config.head_size * int(dense_mask(batch.layout).sum())
    # A noisy token sees its whole block, of which the count takes those before it.
    assert 0.95 * attention < training_flops(config, batch) - alone <= attention


def test_a_cpu_has_no_peak() -> None:
    assert peak_flops("cpu") is None


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_losses_of_the_parts_add_up_to_that_of_the_step(parts: int) -> None:
    model = tiny_transformer(tiny_config())
    rows = take(random_rows(2, length=80, examples=60), slice(0, 4))
    config = CorruptionConfig(block_size=4, noisy_length=32)
    single = [corrupt(take(rows, slice(row, row + 1)), config, np.random.default_rng(row)) for row in range(4)]
    whole = joint_loss(model, normalised([stacked(single)])[0])
    share = 4 // parts
    split = normalised([stacked(single[at : at + share]) for at in range(0, 4, share)])
    summed = torch.stack([joint_loss(model, batch).total for batch in split]).sum()
    torch.testing.assert_close(summed, whole.total)
