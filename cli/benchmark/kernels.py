"""The fast network beside its plain twin and beside what the machine allows, all in one run.

Two floors: the bytes that must be read (weights, and keys and values of the context) at the bandwidth of the memory,
and the products that must be summed at the speed of the units for int8 (on a GPU bf16). Both speeds are the best that
torch reaches here, in the same run. The products of attention and what is done token by token are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffill.model.cache import PAGE_SLOTS, KVCache
from diffill.model.checkpoint import SCALE_SUFFIX
from diffill.model.config import ModelConfig
from diffill.model.loading import build_network, build_plain_network
from diffill.model.network import PREFILL_TOKENS, Block, Network
from diffill.model.tokenizer import MASK, NUM_CONTROL_IDS
from diffill.model.torch_network import TorchNetwork

from .report import KernelRow
from .speeds import Speeds, Stopwatch

ON_DEVICE = "step on the device"
"""Of a GPU: a recorded step repeated, without what the host adds between two."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What is timed."""

    step_rows: tuple[int, ...] = (1, 4, 8, 16, PREFILL_TOKENS)
    contexts: tuple[int, ...] = (256, 700)
    predict_rows: tuple[int, ...] = (1, 8, 16)
    kernel_rows: tuple[int, ...] = (1, 16, 64)
    replays: int = 20
    """Of what was recorded, for one time."""


REHEARSAL = Sizes(step_rows=(1, 3), contexts=(20,), predict_rows=(1,), kernel_rows=(3,), replays=1)
"""Where kernels are interpreted: figures mean nothing there."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing to time, on any network."""

    kernel: str
    rows: int
    context: int
    weights: int
    """Parameters that it reads and multiplies."""


def operations(config: ModelConfig, sizes: Sizes, *, on_gpu: bool) -> list[Operation]:
    """What is timed: steps of a clean token and a block of masks, steps of a prompt, and decisions."""
    head = config.vocabulary_size * config.hidden_size
    attended = config.hidden_size * config.head_size * 2 * (config.num_heads + config.num_key_value_heads)
    layers = config.num_layers * (attended + 3 * config.hidden_size * config.intermediate_size)
    steps = [
        Operation(kernel=kernel, rows=rows, context=context, weights=layers)
        for kernel in (("step", ON_DEVICE) if on_gpu else ("step",))
        for context in sizes.contexts
        for rows in sizes.step_rows
    ]
    return steps + [Operation(kernel="predict", rows=rows, context=0, weights=head) for rows in sizes.predict_rows]


def kernel_row(
    kernel: str,
    *,
    rows: int,
    context: int,
    ms: tuple[float, float],
    read_bytes: float,
    products: float,
    results: tuple[Tensor, Tensor],
    speeds: Speeds,
    cores: int,
    n: int,
) -> KernelRow:
    """An operation and its twin, whose times and results come in this order, beside the floors of the machine."""
    memory, compute = read_bytes / speeds.bytes_per_ms, products / speeds.products_per_ms
    fast, twin = results
    return KernelRow(
        kernel=kernel,
        rows=rows,
        context=context,
        ms=round(ms[0], 5),
        twin_ms=round(ms[1], 5),
        memory_floor_ms=round(memory, 5),
        compute_floor_ms=round(compute, 5),
        of_floor=round(ms[0] / max(memory, compute), 2),
        relative_error=round(float((fast - twin).norm() / twin.norm()), 5),
        cores=cores,
        n=n,
    )


class Kernels:
    """A network and its twin with the same weights.

    Raises:
        ValueError: the checkpoint is broken, or there is no faster network than the twin here; one line.
    """

    def __init__(self, config: ModelConfig, tensors: dict[str, Tensor], device: torch.device, sizes: Sizes) -> None:
        """
        Args:
            tensors: as a checkpoint stores them; those that are packed otherwise are taken out.
        """
        self.weight_bytes = 1 if any(name.endswith(SCALE_SUFFIX) for name in tensors) else 2
        self.twin = build_plain_network(config, dict(tensors), device=device)
        self.fast = build_network(config, tensors, device=device)
        if isinstance(self.fast, TorchNetwork):
            raise ValueError(f"suite: on {device} there is no faster network here than the plain one to compare")
        self.config, self.device, self.sizes = config, device, sizes
        self._held: dict[tuple[Network, int], KVCache] = {}
        self.use_cores(1)
        for network in (self.twin, self.fast):
            for context in sizes.contexts:
                self._held[network, context] = _holding(network, _text(context, config))

    def use_cores(self, count: int) -> None:
        """What is measured from here on runs on so many."""
        self.watch = Stopwatch(self.device, count)
        for network in (self.twin, self.fast):
            network.use_cores(count)

    def measure(self, operation: Operation, speeds: Speeds, *, repeats: int) -> KernelRow:
        """Times of one operation, the network and its twin in turn."""
        fast_run, twin_run = (self._runner(network, operation) for network in (self.fast, self.twin))
        results = fast_run(), twin_run()  # which also warms up
        runs: list[Callable[[], object]] = [fast_run, twin_run]
        if operation.kernel == ON_DEVICE:
            runs[0] = self._repeated
        count = self.sizes.replays if operation.kernel == ON_DEVICE else 1
        fast, twin = self.watch.best(runs, repeats)
        held = operation.context * self.fast.page_bytes // PAGE_SLOTS
        return kernel_row(
            operation.kernel,
            rows=operation.rows,
            context=operation.context,
            ms=(fast / count, twin),
            read_bytes=operation.weights * self.weight_bytes + held,
            products=operation.weights * operation.rows,
            results=results,
            speeds=speeds,
            cores=self.watch.cores,
            n=repeats,
        )

    def _repeated(self) -> None:
        """The last step of the network, `replays` times."""
        from diffill.model.gpu.network import GpuNetwork

        if isinstance(self.fast, GpuNetwork):
            for _ in range(self.sizes.replays):
                self.fast.repeat()

    def _runner(self, network: Network, operation: Operation) -> Callable[[], Tensor]:
        """The operation on one network, ready to be repeated; its result as numbers to compare."""
        if operation.kernel == "predict":
            generator = torch.Generator().manual_seed(0)
            states = torch.randn((operation.rows, self.config.hidden_size), generator=generator).to(self.device)
            return lambda: torch.tensor(network.predict(states).log_probability)
        cache = self._held[network, operation.context]
        tokens = _text(operation.rows, self.config)
        if operation.rows == PREFILL_TOKENS:
            return lambda: network.step(cache, tokens)
        blocks = [Block((MASK,) * (operation.rows - 1), before=1)] if operation.rows > 1 else []
        return lambda: network.step(cache, tokens[:1], blocks)


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
