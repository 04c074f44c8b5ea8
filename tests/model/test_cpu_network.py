"""The native step against its plain twin, and what it promises of rows, threads, pages and broken numbers."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.cache import PAGE_SLOTS
from diffill.model.checkpoint import SCALE_SUFFIX, is_int8
from diffill.model.config import ModelConfig
from diffill.model.cpu import compile_ahead, program, runs_here
from diffill.model.network import Block, Network, NotFinite, Part
from diffill.model.tokenizer import END_OF_MIDDLE, MASK
from diffill.model.torch_network import TorchNetwork
from tests.tiny import VOCABULARY_SIZE, text, tiny_checkpoint, tiny_config, tiny_network

CONFIG = tiny_config()
pytestmark = pytest.mark.skipif(not runs_here(CONFIG), reason="the native step needs a CPU with AVX-512 VNNI")


def native() -> Network:
    network = tiny_network(CONFIG)
    assert not isinstance(network, TorchNetwork)
    return network


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("context", [0, 1, PAGE_SLOTS - 1, PAGE_SLOTS, 70, 300])
@pytest.mark.parametrize("clean", [1, 3, 17])
def test_native_step_is_the_plain_one_up_to_rounding(context: int, clean: int) -> None:
    """Keys and values are kept in fp16 and sums are fp32; activations round to bytes, which amplifies a last bit."""
    states = []
    for plain in (False, True):
        network = tiny_network(CONFIG, plain=plain)
        cache = network.new_cache()
        if context:
            network.step(cache, text(context))
            cache.keep(text(context))
        blocks = [Block((MASK,) * 5, before=1), Block((MASK, 40, MASK), before=clean)]
        states.append(network.step(cache, text(clean, seed=1), blocks))
    assert states[0].shape == states[1].shape == (clean + 8, CONFIG.hidden_size)
    assert relative_error(*states) < 0.06


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_do_not_show(threads: int) -> None:
    network = native()
    results = []
    for count in (1, threads):
        network.use_cores(count)
        cache = network.new_cache()
        first = network.step(cache, text(90))
        cache.keep(text(90))
        second = network.step(cache, text(3, 1), [Block((MASK,) * 4, 2)])
        results.append((first, second, network.predict(second)))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert results[0][2] == results[1][2]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 80), min_size=1, max_size=5),
    cleans=st.lists(st.integers(1, 20), min_size=5, max_size=5),
)
def test_sequences_in_one_step_do_not_see_each_other(lengths: list[int], cleans: list[int]) -> None:
    network = native()
    pool = network.new_pool(0)
    parts = []
    for seed, (length, clean) in enumerate(zip(lengths, cleans, strict=False)):
        cache = pool.open([])
        if length:
            network.step(cache, text(length, seed))
            cache.keep(text(length, seed))
        parts.append(Part(cache, text(clean, seed + 50), [Block((MASK,) * 3, before=clean)]))
    together = network.run(parts)
    for part, states in zip(parts, together, strict=True):
        assert torch.equal(network.step(part.cache, part.clean, part.blocks), states)


def test_prediction_is_the_plain_one() -> None:
    network, plain = native(), tiny_network(CONFIG, plain=True)
    states = torch.randn((70, CONFIG.hidden_size), generator=torch.Generator().manual_seed(0))
    refused = torch.zeros(VOCABULARY_SIZE, dtype=torch.bool)
    refused[plain.predict(states).tokens[0]] = True
    for choices in (1, 4):
        for labels in (False, True):
            found, wanted = (each.predict(states, refused, choices, labels=labels) for each in (network, plain))
            assert found.tokens == wanted.tokens
            assert found.log_probability == pytest.approx(wanted.log_probability, abs=1e-4)
            assert found.entropy == pytest.approx(wanted.entropy, abs=1e-3)
            for row in range(70):
                assert [token for token, _ in found.choices(row)] == [token for token, _ in wanted.choices(row)]
    assert network.predict(states, refused).tokens[0] != plain.predict(states).tokens[0]


def test_equal_logits_are_decided_for_the_first() -> None:
    assert native().predict(torch.zeros((1, CONFIG.hidden_size))).tokens == [END_OF_MIDDLE]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("plain", [False, True])
def test_numbers_that_are_none_are_noticed(value: float, plain: bool) -> None:
    network = tiny_network(CONFIG, plain=plain)
    states = torch.zeros((2, CONFIG.hidden_size))
    states[1, 3] = value
    with pytest.raises(NotFinite):
        network.predict(states)


def test_who_asks_for_the_program_while_it_is_compiled_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []

    def slow(config: ModelConfig) -> object:
        time.sleep(0.1)
        made.append(object())
        return made[-1]

    monkeypatch.setattr(program, "_program", functools.lru_cache(slow))
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(program.compiled, [CONFIG] * 4))
    assert got == made * 4


COMPILE_AHEAD = """
import sys
from pathlib import Path
from diffill.model.cpu import compile_ahead
compile_ahead(Path(sys.argv[1]))
from diffill.model.cpu import program
print(program._program.cache_info().currsize, *sorted({"torch", "transformers", "safetensors"} & sys.modules.keys()))
"""


def test_compiled_ahead_without_torch(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMPILE_AHEAD, str(tiny_checkpoint(tmp_path / "tiny"))]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert process.stdout.split() == ["1"], process.stderr


def test_what_fails_ahead_is_said_where_the_program_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tiny_checkpoint(tmp_path / "tiny")
    asked: list[ModelConfig] = []

    def broken(config: ModelConfig) -> object:
        asked.append(config)
        raise RuntimeError("LLVM ERROR")

    monkeypatch.setattr(program, "_program", broken)
    compile_ahead(directory)
    with pytest.raises(RuntimeError, match="LLVM ERROR"):
        program.compiled(CONFIG)
    assert asked == [CONFIG] * 2
    compile_ahead(tmp_path / "missing")


@pytest.mark.parametrize("problem", [OSError, RuntimeError])
def test_a_cpu_unknown_to_llvm_goes_another_way(problem: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> dict[str, bool]:
        raise problem

    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", dict)
    assert not runs_here(CONFIG)
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", unknown)
    assert not runs_here(CONFIG)


def test_checkpoints_that_are_not_int8_everywhere_go_another_way() -> None:
    assert is_int8({"a": torch.zeros(2, 2), "a" + SCALE_SUFFIX: torch.zeros(2), "norm": torch.zeros(2)})
    assert not is_int8({"a": torch.zeros(2, 2)})
    assert not runs_here(tiny_config(head_size=16))
