"""The network against an independent implementation, and what each token of a joint pass can know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diffill.cli.benchmark.transformers_llama import as_llama
from diffill.model.masks import CLEAN, StreamLayout, dense_mask
from diffill.model.tokenizer import MASK, NUM_CONTROL_IDS
from diffill.model.transformer import Transformer, causal_attention, masked_attention
from tests.tiny import tiny_config, tiny_transformer

LENGTH = 40


def tokens_of(seed: int, length: int = LENGTH, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(NUM_CONTROL_IDS, tiny_config().vocabulary_size, (batch, length), generator=generator)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_key_value_heads": 1},
        {"num_key_value_heads": 4},
        {"rope_theta": 100_000.0, "norm_epsilon": 1e-6, "num_layers": 3},
        {"head_size": 8, "num_heads": 6, "num_key_value_heads": 3},
    ],
    ids=["grouped", "one key head", "no groups", "other constants", "heads narrower than the hidden size"],
)
def test_forward_is_llama(changes: dict[str, float]) -> None:
    config = tiny_config(**changes)
    model = tiny_transformer(config)
    tokens = tokens_of(1, batch=2)
    with torch.no_grad():
        theirs = as_llama(config, model.state_dict())(tokens).logits
        positions = torch.arange(LENGTH).expand(2, -1)
        ours = model.logits(model(tokens, positions, causal_attention))
    assert relative_error(ours, theirs) < 1e-4
    assert torch.equal(ours.argmax(dim=-1), theirs.argmax(dim=-1))


def test_dense_attention_is_the_fused_kernel() -> None:
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(2, 6, LENGTH, 16, generator=generator)
    key, value = (torch.randn(2, 3, LENGTH, 16, generator=generator) for _ in range(2))
    mask = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril().expand(2, 1, -1, -1)
    torch.testing.assert_close(
        masked_attention(mask)(0, query, key, value), causal_attention(0, query, key, value), rtol=1e-4, atol=1e-5
    )


def joint(model: Transformer, clean: Tensor, noisy: dict[int, list[int]]) -> tuple[Tensor, dict[int, Tensor]]:
    """States of the clean stream and of each block (by where it starts), in one pass."""
    length = clean.numel()
    tokens, block, order, positions = clean.tolist(), [CLEAN] * length, list(range(length)), list(range(length))
    for number, (start, ids) in enumerate(noisy.items()):
        tokens += ids
        block += [number] * len(ids)
        order += [start] * len(ids)
        positions += range(start, start + len(ids))
    layout = StreamLayout(
        document=torch.zeros(1, len(tokens), dtype=torch.long), block=torch.tensor([block]), order=torch.tensor([order])
    )
    with torch.no_grad():
        states = model(torch.tensor([tokens]), torch.tensor([positions]), masked_attention(dense_mask(layout)))[0]
    ends = np.cumsum([length, *map(len, noisy.values())])
    return states[:length], {start: states[ends[i] : ends[i + 1]] for i, start in enumerate(noisy)}


def test_a_block_knows_nothing_of_what_it_hides() -> None:
    """Else the loss would fall by copying: the text that a block stands for is in the same row."""
    model = tiny_transformer(tiny_config())
    clean = tokens_of(2)[0]
    start = 17
    noisy = {start: [MASK, 30, MASK, MASK], 5: [MASK, MASK, 99, 100], 25: [MASK] * 4}
    _, before = joint(model, clean, noisy)
    for place in (start, start + 1, start + 4, LENGTH - 1):
        changed = clean.clone()
        changed[place] = (changed[place] + 1) % 200 + NUM_CONTROL_IDS
        _, after = joint(model, changed, noisy)
        assert torch.equal(before[start], after[start]), f"the block knows the clean token at {place}"
    changed = clean.clone()
    changed[start - 1] = (changed[start - 1] + 1) % 200 + NUM_CONTROL_IDS
    _, after = joint(model, changed, noisy)
    assert not torch.equal(before[start], after[start]), "the block must know the clean token before it"


def test_a_block_knows_itself_but_no_other_block() -> None:
    model = tiny_transformer(tiny_config())
    clean = tokens_of(4)[0]
    noisy = {9: [MASK, 30, MASK, MASK], 21: [MASK] * 4}
    states, before = joint(model, clean, noisy)
    others, after = joint(model, clean, noisy | {21: [40, 41, 42, 43]})
    assert torch.equal(before[9], after[9])
    assert torch.equal(states, others), "clean tokens know of no block"
    _, after = joint(model, clean, noisy | {9: [MASK, 30, MASK, 31]})
    assert not torch.equal(before[9][0], after[9][0]), "inside a block, sight goes both ways"
    assert torch.equal(before[21], after[21])


def test_clean_stream_is_plain_causal_decoding() -> None:
    model = tiny_transformer(tiny_config())
    clean = tokens_of(6)[0]
    states, _ = joint(model, clean, {9: [MASK] * 4})
    with torch.no_grad():
        alone = model(clean[None], torch.arange(LENGTH)[None], causal_attention)[0]
    torch.testing.assert_close(states, alone, rtol=1e-4, atol=1e-5)
