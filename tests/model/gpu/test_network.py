"""The whole step against plain torch, and what strict verification rests on: rows that do not depend on each other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from diffill.model.cache import PAGE_SLOTS, KVCache, PagePool
from diffill.model.decoder_loading import model_info
from diffill.model.engine import BlockDecoder
from diffill.model.gpu.network import GpuNetwork
from diffill.model.gpu.self_check import first_problem
from diffill.model.network import Block, NotFinite, Part
from diffill.model.request import DecodeRequest, Mode, pack_ids
from diffill.model.tokenizer import MASK
from diffill.model.torch_network import TorchNetwork
from tests.tiny import VOCABULARY_SIZE, quantized, text, tiny_config, tiny_tokenizer, tiny_transformer, tiny_weights

CONFIG = tiny_config(num_heads=3, num_key_value_heads=1, intermediate_size=64)
MODES: tuple[Mode, ...] = ("ar", "verify")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter: what is masked away


def made(device: torch.device, *, int8: bool = True) -> GpuNetwork:
    weights = tiny_weights(CONFIG)
    return GpuNetwork(CONFIG, quantized(weights) if int8 else weights, device=device)


@pytest.fixture(scope="module")
def network(device: torch.device) -> GpuNetwork:
    return made(device)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.cpu() - wanted.cpu()).norm() / wanted.cpu().norm())


def holding(pool: PagePool, length: int, seed: int = 0) -> KVCache:
    """A cache that holds so many tokens, its keys and values made up: the interpreter would take long."""
    cache = pool.open([])
    cache.reserve(length)
    for page in cache.pages[: cache.page_count]:
        generator = torch.Generator().manual_seed(seed * 1000 + int(page))
        made_up = torch.randn(pool.storage[0].shape, generator=generator).bfloat16()
        pool.storage[int(page)] = made_up.to(pool.storage)
    cache.keep(text(length, seed))
    return cache


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("context", [0, PAGE_SLOTS - 1, 140])
def test_step_is_the_plain_one_up_to_rounding(context: int, int8: bool, device: torch.device) -> None:
    plain = TorchNetwork(tiny_transformer(CONFIG), device=torch.device("cpu"))
    states = []
    for each in (made(device, int8=int8), plain):
        cache = holding(each.new_pool(0), context)
        states.append(
            each.step(cache, text(3, seed=1), [Block((MASK,) * 2, before=1), Block((MASK, 40, MASK), before=3)])
        )
    assert states[0].shape == states[1].shape == (8, CONFIG.hidden_size)
    assert error(*states) < (0.1 if int8 else 0.03)


def test_sequences_in_one_step_do_not_see_each_other(network: GpuNetwork) -> None:
    pool = network.new_pool(0)
    caches = [holding(pool, length, seed) for seed, length in enumerate((1, 70, 130))]
    parts = [
        Part(cache, text(clean, seed), [Block((MASK,) * 2, before=clean)])
        for seed, (cache, clean) in enumerate(zip(caches, (3, 1, 6), strict=True))
    ]
    together = network.run(parts)
    predicted = [network.predict(states) for states in together]
    for part, states, prediction in zip(parts, together, predicted, strict=True):
        alone = network.step(part.cache, part.clean, part.blocks)
        assert torch.equal(alone, states)
        assert network.predict(alone) == prediction


@pytest.mark.parametrize("context", [3, 140])
def test_a_row_is_bitwise_the_same_alone_and_in_company(context: int, network: GpuNetwork) -> None:
    """What makes strict verification strict."""
    draft = text(3, seed=1)
    cache = holding(network.new_pool(0), context)
    company = network.step(cache, draft, [Block((MASK,) * 2, before=n) for n in (1, 2, 3)])
    for n, token in enumerate(draft):
        alone = network.step(cache, [token], [Block((MASK,) * 2, before=1)])
        assert torch.equal(alone[0], company[n]), f"clean token {n}"
        cache.keep([token])


def test_cut_into_steps_or_at_once(network: GpuNetwork) -> None:
    def states(sizes: Sequence[int]) -> Tensor:
        cache, found, at = network.new_cache(), [], 0
        for size in sizes:
            part = text(15)[at : at + size]
            found.append(network.step(cache, part))
            cache.keep(part)
            at += size
        return torch.cat(found)

    assert torch.equal(states([15]), states([10, 1, 4]))


def test_prediction_of_part_of_a_step_is_that_of_its_rows(network: GpuNetwork) -> None:
    """Rows of the last step are decided together, others as they come."""
    states = network.step(network.new_cache(), text(9))
    wanted = network.predict(states.clone())
    for first, last in ((0, 1), (2, 7), (0, 9)):
        found = network.predict(states[first:last])
        assert found.tokens == wanted.tokens[first:last]
        assert found.log_probability == wanted.log_probability[first:last]
    network.step(network.new_cache(), text(9, seed=1))
    assert network.predict(states) == wanted, "states outlive their step"


def test_prediction_is_the_plain_one(network: GpuNetwork) -> None:
    states = network.step(network.new_cache(), text(6))
    for labels in (False, True):
        fused = network.predict(states, labels=labels)
        written = network.predict(states, choices=3, labels=labels)
        assert fused.tokens == written.tokens
        assert fused.log_probability == pytest.approx(written.log_probability, abs=1e-4)
        assert fused.entropy == pytest.approx(written.entropy, abs=1e-3)
        assert [len(others) for others in written.runners_up] == [2] * 6
    refused = torch.zeros(VOCABULARY_SIZE, dtype=torch.bool, device=network.device)
    refused[network.predict(states).tokens[0]] = True
    other = network.predict(states, refused)
    assert other.tokens[0] != network.predict(states).tokens[0]
    assert other.tokens[1:] == network.predict(states).tokens[1:]


def test_numbers_that_are_none_are_noticed(network: GpuNetwork) -> None:
    states = torch.zeros((2, CONFIG.hidden_size), device=network.device)
    states[1, 3] = torch.nan
    with pytest.raises(NotFinite):
        network.predict(states)


def test_kernels_are_their_twins_in_the_sizes_of_a_network(device: torch.device) -> None:
    assert first_problem(CONFIG, device) is None


def test_strict_verify_says_what_ar_says(network: GpuNetwork) -> None:
    decoder = BlockDecoder(network, tokenizer=tiny_tokenizer(), info=model_info(CONFIG, "none", str(network.device)))
    said = []
    for mode in MODES:
        result = decoder.decode(DecodeRequest(prompt=pack_ids(text(9, seed=3)), max_tokens=5, mode=mode))
        said.append((result.tokens, result.token_scores))
    assert said[0] == said[1]
