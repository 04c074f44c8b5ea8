"""The model's own sampler on batches of blocks: as the decoder does it, and its orders on true text."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from diffill.model.cache import KVCache
from diffill.model.decoding import Answer
from diffill.model.decoding.diffusion import decode_diffusion
from diffill.model.tokenizer import END_OF_MIDDLE, MASK
from diffill.model.torch_network import TorchNetwork
from diffill.training.batch import Batch
from diffill.training.corruption import CorruptionConfig, corrupt
from diffill.training.loss import stream_states
from diffill.training.rollout import NEVER, CleanContext, roll_out, state_before
from diffill.training.trajectories import best_trajectory
from tests.scripted_network import alone
from tests.tiny import tiny_config, tiny_transformer
from tests.training.packed import random_rows

SIZE = 4
CONFIG = tiny_config(block_size=SIZE, threshold=0.2)
MODEL = tiny_transformer(CONFIG)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Blocks masked whole; rows of several documents."""
    rows = random_rows(0, length=48, examples=40, longest=12)
    config = CorruptionConfig(block_size=SIZE, noisy_length=24, full_mask=1.0, substitute=0.0)
    return corrupt(rows, config, np.random.default_rng(0))


def test_the_clean_stream_is_computed_once(batch: Batch) -> None:
    context = CleanContext(MODEL, batch)
    clean = batch.clean_length
    with torch.no_grad():
        whole = stream_states(MODEL, batch)
    torch.testing.assert_close(context.clean, whole[:, :clean])
    torch.testing.assert_close(context.noisy(batch.tokens[:, clean:]), whole[:, clean:])


def test_read_causally_a_block_is_plain_text(batch: Batch) -> None:
    """Its states are those of the same tokens in a clean stream of their own."""
    context, clean = CleanContext(MODEL, batch), batch.clean_length
    truth = batch.target[:, clean:]
    states = context.noisy(truth, causal=True)
    row, start = 0, int(batch.layout.order[0, clean])
    document = batch.layout.document[row, :clean]
    first = int((document == document[start]).nonzero()[0])
    text = torch.cat([batch.tokens[row, first:start], truth[row, :SIZE]])
    network = TorchNetwork(MODEL, device=torch.device("cpu"))
    alone = network.step(network.new_cache(), text.tolist())
    torch.testing.assert_close(states[row, :SIZE], alone[-SIZE:], rtol=1e-4, atol=1e-4)


def test_it_samples_as_the_decoder_does(batch: Batch) -> None:
    """Block by block the same tokens in as many passes as mode `diffusion` takes."""
    said = roll_out(CleanContext(MODEL, batch), block_size=SIZE, threshold=CONFIG.threshold)
    network = TorchNetwork(MODEL, device=torch.device("cpu"))
    clean, compared = batch.clean_length, 0
    for row in range(4):
        for block in range(said.passes.shape[1]):
            start = int(batch.layout.order[row, clean + block * SIZE])
            document = batch.layout.document[row, :clean]
            if document[start] < 0:
                continue
            *prompt, last = batch.tokens[row, int((document == document[start]).nonzero()[0]) : start].tolist() or [0]
            cache: KVCache = network.new_cache()
            if prompt:
                network.step(cache, prompt)
                cache.keep(prompt)
            answer = Answer(max_tokens=SIZE, ends_line=None)
            passes = len(alone(network, decode_diffusion(network, cache, last, answer)))
            tokens = said.tokens[row, block * SIZE : (block + 1) * SIZE].tolist()
            kept = tokens[: tokens.index(END_OF_MIDDLE)] if END_OF_MIDDLE in tokens else tokens
            assert kept == answer.tokens
            assert int(said.passes[row, block]) == passes
            compared += 1
    assert compared > 10


def test_states_on_the_way(batch: Batch) -> None:
    said = roll_out(CleanContext(MODEL, batch), block_size=SIZE, threshold=0.05)
    assert (said.state(torch.zeros_like(said.passes)) == MASK).all()
    placed = said.order != NEVER
    last = said.state(said.passes)
    assert torch.equal(last[placed], said.tokens[placed])
    assert (last[~placed] == MASK).all()
    for step in range(int(said.passes.max())):
        state = said.state(torch.full_like(said.passes, step))
        assert ((state != MASK) == (placed & (said.order < step))).all()


@pytest.mark.parametrize("threshold", [1.0, 0.01, 1e-9])
def test_an_order_unmasks_all_and_says_how_likely(batch: Batch, threshold: float) -> None:
    truth = batch.target[:, batch.clean_length :]
    context = CleanContext(MODEL, batch)
    found = best_trajectory(context, truth, block_size=SIZE, threshold=threshold, candidates=1, temperature=0.0)
    order = found.order.unflatten(1, (-1, SIZE))
    assert (order >= 0).all()
    assert torch.equal(order.amax(dim=2) + 1, found.passes)
    for step in range(SIZE):  # no pass is empty
        assert ((order == step).any(dim=2) == (found.passes > step)).all()
    if threshold == 1.0:
        assert (found.passes == SIZE).all()
    if threshold == 1e-9:
        assert (found.passes == 1).all()
    # The first pass again, by hand.
    logits = MODEL.logits(context.noisy(torch.full_like(truth, MASK)))
    logits[:, :, MASK] = -torch.inf
    log_p = logits.log_softmax(dim=-1).gather(2, truth[:, :, None])[:, :, 0].unflatten(1, (-1, SIZE))
    first = log_p >= log(threshold)
    first |= log_p == log_p.amax(dim=2, keepdim=True)
    assert torch.equal(order == 0, first)
    if threshold == 1e-9:
        torch.testing.assert_close(found.log_likelihood, log_p.mean(dim=2))


def test_the_likeliest_of_several_orders_is_kept(batch: Batch) -> None:
    truth, context = batch.target[:, batch.clean_length :], CleanContext(MODEL, batch)
    torch.manual_seed(0)
    one = best_trajectory(context, truth, block_size=SIZE, threshold=1.0, candidates=1, temperature=2.0)
    many = best_trajectory(context, truth, block_size=SIZE, threshold=1.0, candidates=6, temperature=2.0)
    assert (many.log_likelihood >= one.log_likelihood).all()
    changed = (many.order != one.order).unflatten(1, (-1, SIZE)).any(dim=2)
    assert changed.any()
    assert torch.equal(changed, many.log_likelihood > one.log_likelihood)


def test_a_state_hides_what_comes_later() -> None:
    tokens, order = torch.tensor([[50, 51, 52, 53]]), torch.tensor([[2, 0, 1, NEVER]])
    for step, expected in enumerate([[MASK] * 4, [MASK, 51, MASK, MASK], [MASK, 51, 52, MASK], [50, 51, 52, MASK]]):
        assert state_before(tokens, order, torch.tensor([[step]])).tolist() == [expected]
