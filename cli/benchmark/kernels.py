"""The fast network beside its plain twin and beside what the machine allows, all in one run.

Two floors: the bytes that must be read (weights, and keys and values of the context) at the bandwidth of the memory,
and the products that must be summed at the speed of the int8 units. Both speeds are the best that torch reaches here,
in the same run. The products of attention and what is done token by token are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from diffill.model.cache import PAGE_SLOTS, KVCache
from diffill.model.checkpoint import load_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.loading import build_network, build_plain_network
from diffill.model.network import PREFILL_TOKENS, Block, Network
from diffill.model.tokenizer import MASK, NUM_CONTROL_IDS
from diffill.model.torch_network import TorchNetwork

from .report import KernelRow

STEP_ROWS = (1, 4, 8, 16, PREFILL_TOKENS)
CONTEXTS = (256, 700)
PREDICT_ROWS = (1, 8, 16)
BANDWIDTH_BYTES = 256 << 20
"""Far more than any cache holds."""
PRODUCT_SIZE = 1024
FLOOR_REPEATS = 40


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What this machine reaches."""

    bytes_per_ms: float
    products_per_ms: float
    """Multiply-and-add of two bytes."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing to time, on any network."""

    kernel: Literal["step", "predict"]
    rows: int
    context: int
    weights: int
    """Parameters that it reads and multiplies, a byte each."""


def operations(config: ModelConfig) -> list[Operation]:
    """What is timed: steps of a clean token and a block of masks, steps of a prompt, and decisions."""
    head = config.vocabulary_size * config.hidden_size
    attended = config.hidden_size * config.head_size * 2 * (config.num_heads + config.num_key_value_heads)
    layers = config.num_layers * (attended + 3 * config.hidden_size * config.intermediate_size)
    steps = [
        Operation(kernel="step", rows=rows, context=context, weights=layers)
        for context in CONTEXTS
        for rows in STEP_ROWS
    ]
    return steps + [Operation(kernel="predict", rows=rows, context=0, weights=head) for rows in PREDICT_ROWS]


class Kernels:
    """A network and its twin with the same weights.

    Raises:
        ValueError: the checkpoint is broken, or there is no faster network than the twin here; one line.
    """

    def __init__(self, checkpoint: Path, device: str) -> None:
        config, tensors = load_checkpoint(checkpoint)
        self.twin = build_plain_network(config, dict(tensors), device=torch.device(device))
        self.fast = build_network(config, tensors, device=torch.device(device))
        if isinstance(self.fast, TorchNetwork):
            raise ValueError(f"suite: on {device} there is no faster network here than the plain one to compare")
        self.config = config
        self._held: dict[tuple[Network, int], KVCache] = {}
        self.use_cores(1)
        for network in (self.twin, self.fast):
            for context in CONTEXTS:
                self._held[network, context] = _holding(network, _text(context, config))

    def use_cores(self, count: int) -> None:
        """What is measured from here on runs on so many."""
        self.cores = count
        for network in (self.twin, self.fast):
            network.use_cores(count)

    def measure(self, operation: Operation, speeds: Speeds, *, repeats: int) -> KernelRow:
        """Times of one operation, the network and its twin in turn."""
        runs = [self._runner(network, operation) for network in (self.fast, self.twin)]
        results = [run() for run in runs]  # which also warms up
        times = [[_milliseconds(run, self.cores) for run in runs] for _ in range(repeats)]
        fast, twin = (min(column) for column in zip(*times, strict=True))  # as the floors are the best of several
        held = operation.context * self.fast.page_bytes // PAGE_SLOTS
        memory = (operation.weights + held) / speeds.bytes_per_ms
        compute = operation.weights * operation.rows / speeds.products_per_ms
        return KernelRow(
            kernel=operation.kernel,
            rows=operation.rows,
            context=operation.context,
            ms=round(fast, 3),
            twin_ms=round(twin, 3),
            memory_floor_ms=round(memory, 3),
            compute_floor_ms=round(compute, 3),
            of_floor=round(fast / max(memory, compute), 2),
            relative_error=round(float((results[0] - results[1]).norm() / results[1].norm()), 5),
            cores=self.cores,
            n=repeats,
        )

    def _runner(self, network: Network, operation: Operation) -> Callable[[], Tensor]:
        """The operation on one network, ready to be repeated; its result as numbers to compare."""
        if operation.kernel == "predict":
            generator = torch.Generator().manual_seed(0)
            states = torch.randn((operation.rows, self.config.hidden_size), generator=generator)
            return lambda: torch.tensor(network.predict(states).log_probability)
        cache = self._held[network, operation.context]
        tokens = _text(operation.rows, self.config)
        if operation.rows == PREFILL_TOKENS:
            return lambda: network.step(cache, tokens)
        blocks = [Block((MASK,) * (operation.rows - 1), before=1)] if operation.rows > 1 else []
        return lambda: network.step(cache, tokens[:1], blocks)


def measure_speeds(cores: int) -> Speeds:
    """The best of several: a floor must not be too high."""
    torch.set_num_threads(cores)
    words = torch.ones(BANDWIDTH_BYTES // 4, dtype=torch.float32)
    left = torch.ones((PRODUCT_SIZE, PRODUCT_SIZE), dtype=torch.int8)
    read = min(_milliseconds(words.sum, cores) for _ in range(FLOOR_REPEATS))
    multiply = min(_milliseconds(lambda: torch._int_mm(left, left.t()), cores) for _ in range(FLOOR_REPEATS))
    return Speeds(bytes_per_ms=BANDWIDTH_BYTES / read, products_per_ms=PRODUCT_SIZE**3 / multiply)


def _holding(network: Network, prompt: Sequence[int]) -> KVCache:
    """A cache that holds a prompt."""
    cache = network.new_cache()
    for start in range(0, len(prompt), PREFILL_TOKENS):
        piece = prompt[start : start + PREFILL_TOKENS]
        network.step(cache, piece)
        cache.keep(piece)
    return cache


def _text(length: int, config: ModelConfig) -> Sequence[int]:
    generator = torch.Generator().manual_seed(length)
    ids: list[int] = torch.randint(NUM_CONTROL_IDS, config.vocabulary_size, (length,), generator=generator).tolist()
    return ids


def _milliseconds(run: Callable[[], object], cores: int) -> float:
    """On one core the processor's time, which programs that push in hardly change; on several, the clock's."""
    clock = time.thread_time if cores == 1 else time.perf_counter
    began = clock()
    run()
    return 1e3 * (clock() - began)
