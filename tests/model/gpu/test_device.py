"""What only a real device can show: recorded steps, nothing that waits for it, and equal answers on many prompts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from diffill.model.decoder_loading import load_decoder, model_info
from diffill.model.engine import BlockDecoder
from diffill.model.gpu.graphs import cuda_graphs
from diffill.model.gpu.network import GpuNetwork
from diffill.model.gpu.self_check import first_problem
from diffill.model.network import Block, Part
from diffill.model.request import DecodeRequest, pack_ids
from diffill.model.tokenizer import MASK
from tests.tiny import quantized, text, tiny_checkpoint, tiny_config, tiny_tokenizer, tiny_weights

pytestmark = pytest.mark.gpu
CONFIG = tiny_config()
DEFAULT = tiny_config(
    vocabulary_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_layers=30,
    num_heads=9,
    num_key_value_heads=3,
    head_size=64,
)
LARGE = tiny_config(
    vocabulary_size=128256,
    hidden_size=4096,
    intermediate_size=14336,
    num_layers=1,
    num_heads=32,
    num_key_value_heads=8,
    head_size=128,
)
PROMPTS = 1000


@pytest.fixture(scope="module")
def network(device: torch.device) -> GpuNetwork:
    return GpuNetwork(CONFIG, quantized(tiny_weights(CONFIG)), device=device, capture=cuda_graphs())


@pytest.mark.parametrize("config", [DEFAULT, LARGE], ids=["135M", "8B"])
def test_kernels_are_their_twins_in_real_sizes(config: object, device: torch.device) -> None:
    assert first_problem(DEFAULT if config is DEFAULT else LARGE, device) is None


def test_recorded_steps_are_those_that_are_not(network: GpuNetwork, device: torch.device) -> None:
    eager = GpuNetwork(CONFIG, quantized(tiny_weights(CONFIG)), device=device)
    results = []
    for each in (network, eager):
        pool, found = each.new_pool(0), []
        for seed in range(20):
            cache = pool.open([])
            each.step(cache, text(40 + 10 * seed, seed))
            cache.keep(text(40 + 10 * seed, seed))
            parts = [Part(cache, text(1 + seed % 4, seed), [Block((MASK,) * (1 + seed % 7), before=1)])]
            (states,) = each.run(parts)
            found.append((states, each.predict(states)))
            pool.close(cache)
        results.append(found)
    for recorded, plain in zip(*results, strict=True):
        assert torch.equal(recorded[0], plain[0])
        assert recorded[1] == plain[1]


def test_rows_are_bitwise_the_same_in_any_company_in_real_sizes(device: torch.device) -> None:
    """Thirty layers; one, many and very many rows, behind a short and a long context."""
    network = GpuNetwork(DEFAULT, quantized(tiny_weights(DEFAULT)), device=device)
    pool = network.new_pool()
    parts = []
    for seed, length in enumerate((3, 700, 130, 2000)):
        cache = pool.open([])
        for start in range(0, length, 256):
            piece = text(length, seed)[start : start + 256]
            network.step(cache, piece)
            cache.keep(piece)
        parts.append(Part(cache, text(1 + 9 * seed, seed), [Block((MASK,) * 8, before=1)]))
    together = network.run(parts)
    predicted = [network.predict(states) for states in together]
    for part, states, prediction in zip(parts, together, predicted, strict=True):
        alone = network.step(part.cache, part.clean, part.blocks)
        assert torch.equal(alone, states)
        assert network.predict(alone) == prediction


def test_nothing_of_a_step_waits_for_the_device(network: GpuNetwork) -> None:
    cache = network.new_pool(0).open([])
    tokens = text(3, 0)
    network.step(cache, tokens, [Block((MASK,) * 4, before=1)])
    torch.cuda.set_sync_debug_mode("error")
    try:
        network.step(cache, tokens, [Block((MASK,) * 4, before=1)])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_strict_verify_says_what_ar_says_on_many_prompts(network: GpuNetwork) -> None:
    info = model_info(CONFIG, "none", "cuda")
    decoder = BlockDecoder(network, tokenizer=tiny_tokenizer(), info=info)
    generator = random.Random(0)
    for seed in range(PROMPTS):
        prompt = pack_ids(text(generator.randrange(1, 300), seed))
        ar, verify = (DecodeRequest(prompt=prompt, max_tokens=12, mode=mode) for mode in ("ar", "verify"))
        together = [decoder.begin(verify), decoder.begin(ar)]
        while waiting := [decoding for decoding in together if not decoding.over]:
            decoder.advance(waiting)
        said = {decoder.decode(ar).tokens, *(decoding.result.tokens for decoding in together if decoding.result)}
        assert len(said) == 1, f"prompt {seed}"


def test_a_checkpoint_is_loaded_into_kernels(tmp_path: Path) -> None:
    decoder = load_decoder(checkpoint=tiny_checkpoint(tmp_path / "made"), device="cuda")
    assert isinstance(decoder.network, GpuNetwork)
    assert decoder.decode(DecodeRequest(prompt=pack_ids(text(5, 0)), max_tokens=4)).forward_passes > 0
