"""What the cache keeps, and that nothing else in it is ever read."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from diffill.model.cache import SLOTS_STEP, KVCache
from diffill.model.network import Block
from diffill.model.tokenizer import MASK
from tests.tiny import tiny_config, tiny_network

IDS = st.lists(st.integers(17, 20), max_size=12)


def new_cache() -> KVCache:
    return KVCache(tiny_config(), device=torch.device("cpu"), dtype=torch.float64)


@given(held=IDS, wanted=IDS)
def test_reuse_keeps_exactly_the_common_prefix(held: list[int], wanted: list[int]) -> None:
    cache = new_cache()
    cache.keep(held)
    kept = cache.reuse(wanted)
    assert cache.tokens == held[:kept] == wanted[:kept]
    assert cache.length == kept
    assert kept == min(len(held), len(wanted)) or held[kept] != wanted[kept]


def test_room_grows_in_steps_and_what_is_kept_stays() -> None:
    cache = new_cache()
    config = tiny_config()
    filled = SLOTS_STEP - 3
    cache.reserve(filled)
    assert cache.keys.shape[2] == SLOTS_STEP
    generator = torch.Generator().manual_seed(0)
    shape = (config.num_key_value_heads, filled, config.head_size)
    written = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2 * config.num_layers)]
    for layer in range(config.num_layers):
        cache.write(layer, written[2 * layer], written[2 * layer + 1])
    cache.keep([20] * filled)

    room = cache.keys
    cache.reserve(3)
    assert cache.keys is room, "what fits is not copied"
    cache.reserve(4)
    assert cache.keys.shape[2] == cache.values.shape[2] == 2 * SLOTS_STEP
    for layer in range(config.num_layers):
        assert torch.equal(cache.keys[layer, :, :filled], written[2 * layer])
        assert torch.equal(cache.values[layer, :, :filled], written[2 * layer + 1])


def test_scratch_slots_never_leak_into_later_steps() -> None:
    """Blocks and refused drafts leave their keys behind `length`; poison there must change nothing."""
    network = tiny_network(tiny_config())
    prompt = [30, 31, 32, 33, 34]
    used, fresh = network.new_cache(), network.new_cache()
    for cache in (used, fresh):
        network.step(cache, prompt)
        cache.keep(prompt)
    network.step(used, [40, 41, 42], [Block((MASK,) * 8, before=n) for n in (1, 2, 3)])
    used.keep([40])  # 41 and 42 were refused
    with torch.inference_mode():
        used.keys[:, :, used.length :] = 1e6
        used.values[:, :, used.length :] = torch.nan
    network.step(fresh, [40])
    fresh.keep([40])
    block = [Block((MASK, 50, MASK), before=2)]
    assert torch.equal(network.step(used, [60, 61], block), network.step(fresh, [60, 61], block))


def test_forgotten_tokens_are_overwritten() -> None:
    network = tiny_network(tiny_config())
    used, fresh = network.new_cache(), network.new_cache()
    network.step(used, [30, 31, 32, 33])
    used.keep([30, 31, 32, 33])
    assert used.reuse([30, 31, 99]) == 2
    network.step(fresh, [30, 31])
    fresh.keep([30, 31])
    assert torch.equal(network.step(used, [99, 98]), network.step(fresh, [99, 98]))
