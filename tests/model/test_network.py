"""One step over a cache: the same states however the tokens are cut, and bit for bit the same in int8 on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffill.model.checkpoint import load_checkpoint, save_checkpoint
from diffill.model.loading import load_network
from diffill.model.masks import CLEAN, StreamLayout, dense_mask
from diffill.model.network import Block, Network
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS
from diffill.model.torch_network import TorchNetwork
from diffill.model.transformer import masked_attention
from tests.tiny import (
    text,
    tiny_checkpoint,
    tiny_config,
    tiny_network,
    tiny_tokenizer,
    tiny_transformer,
)

CONTEXTS = (3, 64, 300)


def in_chunks(network: Network, tokens: list[int], sizes: list[int]) -> Tensor:
    """States of `tokens`, computed over one cache in steps of `sizes`."""
    cache, states, at = network.new_cache(), [], 0
    for size in sizes:
        part = tokens[at : at + size]
        states.append(network.step(cache, part))
        cache.keep(part)
        at += size
    return torch.cat(states)


def uncached(network: TorchNetwork, clean: list[int], blocks: list[Block]) -> Tensor:
    """The same tokens in one pass under the training mask, without a cache."""
    tokens, order, block = list(clean), list(range(len(clean))), [CLEAN] * len(clean)
    positions = list(range(len(clean)))
    for number, noisy in enumerate(blocks):
        tokens += noisy.tokens
        order += [noisy.before] * len(noisy.tokens)
        block += [number] * len(noisy.tokens)
        positions += range(noisy.before, noisy.before + len(noisy.tokens))
    layout = StreamLayout(
        document=torch.zeros(1, len(tokens), dtype=torch.long), block=torch.tensor([block]), order=torch.tensor([order])
    )
    mask = masked_attention(dense_mask(layout))
    states: Tensor = network.model(torch.tensor([tokens]), torch.tensor([positions]), mask)[0]
    return states


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("dtype", [torch.int8, torch.float32])
def test_cut_into_steps_or_at_once(dtype: torch.dtype, context: int) -> None:
    network = tiny_network(tiny_config(), dtype=dtype)
    tokens = text(context + 5)
    at_once = in_chunks(network, tokens, [len(tokens)])
    one_by_one = in_chunks(network, tokens, [1] * len(tokens))
    chunks = in_chunks(network, tokens, [context, 2, 3])
    if dtype == torch.int8:  # what makes strict verification strict
        assert torch.equal(at_once, one_by_one)
        assert torch.equal(at_once, chunks)
    else:
        torch.testing.assert_close(at_once, one_by_one, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(at_once, chunks, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("context", CONTEXTS)
def test_cached_step_is_the_masked_forward(context: int) -> None:
    network = tiny_network(tiny_config(), dtype=torch.float32)
    clean = text(context + 4)
    blocks = [Block((MASK, MASK, 30), before=1), Block((MASK,) * 5, before=4)]
    cache = network.new_cache()
    network.step(cache, clean[:context])
    cache.keep(clean[:context])
    states = network.step(cache, clean[context:], blocks)
    shifted = [Block(block.tokens, before=context + block.before) for block in blocks]
    torch.testing.assert_close(states, uncached(network, clean, shifted)[context:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_row_is_bitwise_the_same_alone_and_in_company(context: int, plain: bool) -> None:
    """int8 on the CPU: neither later tokens nor blocks may move a checked token by a single bit.

    A block is a draft and may differ in the last place: it stands in other slots, which are summed in their order.
    """
    network = tiny_network(tiny_config(), plain=plain)
    prompt, draft = text(context), text(4, seed=1)
    cache = network.new_cache()
    network.step(cache, prompt)
    cache.keep(prompt)
    blocks = [Block((MASK,) * 4, before=n) for n in (1, 2, 3, 4)]
    company = network.step(cache, draft, blocks)
    for n, token in enumerate(draft):
        alone = network.step(cache, [token], [Block((MASK,) * 4, before=1)])
        assert torch.equal(alone[0], company[n]), f"clean token {n}"
        torch.testing.assert_close(alone[1:], company[4 + 4 * n : 8 + 4 * n], rtol=0.05, atol=0.02)
        cache.keep([token])


def test_prediction_is_the_best_allowed_token_and_its_log_probability() -> None:
    network = tiny_network(tiny_config(), dtype=torch.float32)
    states = network.step(network.new_cache(), text(6))
    logits = network.model.logits(states).clone()
    banned = [index for index in range(NUM_CONTROL_IDS) if index != END_OF_MIDDLE]
    logits[:, banned] = -torch.inf
    prediction = network.predict(states)
    assert prediction.tokens == logits.argmax(dim=1).tolist()
    wanted = logits.log_softmax(dim=1).amax(dim=1)
    torch.testing.assert_close(torch.tensor(prediction.log_probability), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.int8, torch.float32])
def test_control_tokens_are_never_predicted(dtype: torch.dtype) -> None:
    """Even where the head prefers them by far; END_OF_MIDDLE is the one control id that is an answer."""
    network = tiny_network(tiny_config(), dtype=dtype)
    rows = tiny_transformer(network.config).embedding(
        torch.arange(NUM_CONTROL_IDS)
    )  # a state along a row prefers that row
    prediction = network.predict(rows.float() * 100.0)
    for index, token in enumerate(prediction.tokens):
        assert (token >= NUM_CONTROL_IDS) if index != END_OF_MIDDLE else (token == END_OF_MIDDLE)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bfloat16, torch.float32])
def test_loaded_network_equals_the_one_in_memory(tmp_path, dtype: torch.dtype) -> None:
    network = load_network(tiny_checkpoint(tmp_path / "made", dtype=dtype), device=torch.device("cpu"))
    wanted = tiny_network(tiny_config(), dtype=dtype)
    tokens = text(20)
    loaded, built = in_chunks(network, tokens, [20]), in_chunks(wanted, tokens, [20])
    if dtype == torch.bfloat16:
        assert float((loaded - built).norm() / built.norm()) < 0.05
    else:
        assert torch.equal(loaded, built)


def test_progress_ends_at_one(tmp_path) -> None:
    shares: list[float] = []
    load_network(tiny_checkpoint(tmp_path / "made"), device=torch.device("cpu"), on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize("dtype", [torch.int8, torch.float32])
@pytest.mark.parametrize("change", ["shape", "missing", "extra"])
def test_weights_that_contradict_the_configuration(tmp_path, change: str, dtype: torch.dtype) -> None:
    directory = tiny_checkpoint(tmp_path / "made", dtype=torch.float32)
    config, weights = load_checkpoint(directory)
    name = "layers.1.down.weight"
    if change == "shape":
        weights[name] = weights[name][:, 1:].contiguous()
    elif change == "missing":
        del weights[name]
    else:
        name = "layers.2.down.weight"
        weights[name] = torch.zeros(2, 2)
    save_checkpoint(directory, config=config, weights=weights, tokenizer=tiny_tokenizer(), dtype=dtype)
    with pytest.raises(ValueError, match=name) as caught:
        load_network(directory, device=torch.device("cpu"))
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)
