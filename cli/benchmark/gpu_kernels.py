"""Each kernel of a step on the GPU, beside what torch does for the same, and beside the device's own limits.

A kernel takes microseconds, less than its launch: it is recorded once for every layer of the network, each with weights
of its own that no cache holds any more, and the replay is timed.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from diffill.model.cache import PAGE_SLOTS
from diffill.model.gpu.attention import attend, tile_tokens
from diffill.model.gpu.graphs import cuda_graphs
from diffill.model.gpu.inputs import StepInputs
from diffill.model.gpu.linear import Weight, linear, tiling_of
from diffill.model.gpu.network import GpuNetwork
from diffill.model.gpu.norm import plain_residual_norm, residual_norm
from diffill.model.gpu.program import Program
from diffill.model.gpu.rotary import plain_rotate, rotate_and_write
from diffill.model.gpu.shapes import StepShape
from diffill.model.network import Block, Network, Part
from diffill.model.tokenizer import MASK, NUM_CONTROL_IDS

from .kernels import Sizes, kernel_row
from .report import KernelRow
from .speeds import Speeds, Stopwatch

CONTEXT = 700
LINEARS = ("qkv", "attention_out", "gate_up", "down")


class Case(ABC):
    """One kernel with inputs for each layer."""

    kernel: str
    context = 0
    read_bytes = 0
    products = 0

    def __init__(self, program: Program, rows: int) -> None:
        self.program, self.rows, self.device = program, rows, program.device

    @abstractmethod
    def run(self, layer: int) -> Tensor:
        """The kernel; its result."""

    @abstractmethod
    def twin(self, layer: int) -> Tensor:
        """Torch's best at the same."""

    @staticmethod
    def summed(result: Tensor) -> Tensor:
        """The result as it is compared."""
        return result.float()

    def random(self, *shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
        return torch.randn(shape, device=self.device).to(dtype)


class LinearCase(Case):
    """A linear layer over bf16 or int8 rows; torch over bf16 rows."""

    def __init__(self, program: Program, rows: int, name: str) -> None:
        super().__init__(program, rows)
        self.kernel, self.gated = name, name == "gate_up"
        self.weights: list[Weight] = [getattr(layer, name) for layer in program.layers]
        self.plain = [_bfloat16(weight) for weight in self.weights]
        columns, depth = self.weights[0].rows.shape
        self.read_bytes, self.products = self.weights[0].bytes, rows * columns * depth
        width = columns // 2 if self.gated else columns
        self.tiling = tiling_of(width, depth, gated=self.gated)
        self.x = self.random(rows, depth)
        dtype = torch.bfloat16 if self.gated else torch.float32
        self.out = torch.empty((self.tiling.splits, rows, width), device=self.device, dtype=dtype)

    @staticmethod
    def summed(result: Tensor) -> Tensor:
        return result.float().sum(dim=0)

    def run(self, layer: int) -> Tensor:
        linear(self.x, self.weights[layer], self.out, self.tiling, gated=self.gated)
        return self.out

    def twin(self, layer: int) -> Tensor:
        found = F.linear(self.x, self.plain[layer])
        if not self.gated:
            return found[None]
        gate, up = found.chunk(2, dim=1)
        return (F.silu(gate) * up)[None]


class NormCase(Case):
    """Residual sum and norm."""

    kernel = "norm"

    def __init__(self, program: Program, rows: int) -> None:
        super().__init__(program, rows)
        size = program.config.hidden_size
        self.x = self.random(rows, size, dtype=torch.float32)
        self.parts = torch.zeros((2, rows, size), device=self.device)  # so that x stays as it is
        self.out = self.random(rows, size)
        self.read_bytes = 4 * (self.x.numel() + self.parts.numel() + size)

    def run(self, layer: int) -> Tensor:
        weight, epsilon = self.program.layers[layer].mlp_norm, self.program.config.norm_epsilon
        residual_norm(self.x, self.parts, weight, self.out, epsilon)
        return self.out

    def twin(self, layer: int) -> Tensor:
        weight, epsilon = self.program.layers[layer].mlp_norm, self.program.config.norm_epsilon
        return plain_residual_norm(self.x, self.parts, weight, epsilon)[1]


class PagedCase(Case):
    """What works on pages: the rows of a clean token and a block of masks behind a context."""

    context = CONTEXT

    def __init__(self, network: GpuNetwork, rows: int) -> None:
        super().__init__(network.program, rows)
        config = network.config
        self.shape = StepShape.of(rows, CONTEXT + rows)
        cache = network.new_cache()
        cache.reserve(CONTEXT + rows)
        cache.keep([NUM_CONTROL_IDS] * CONTEXT)
        self.storage = cache.storage.normal_()
        self.pages = torch.from_numpy(cache.pages[: -(-(CONTEXT + rows) // PAGE_SLOTS)]).long().to(self.device)
        inputs = StepInputs(self.device)
        blocks = [Block((MASK,) * (rows - 1), before=1)] if rows > 1 else []
        tile_rows = tile_tokens(config.num_heads, config.num_key_value_heads)
        inputs.fill(self.shape, [Part(cache, [NUM_CONTROL_IDS], blocks)], tile_rows=tile_rows)
        self.columns = inputs.columns(self.shape)
        self.query = self.random(rows, config.num_heads, config.head_size)
        width = (config.num_heads + 2 * config.num_key_value_heads) * config.head_size
        self.parts = self.random(2, rows, width, dtype=torch.float32)


class PositionsCase(PagedCase):
    """RoPE, and keys and values into their slots."""

    kernel = "positions and pages"
    context = 0

    def __init__(self, network: GpuNetwork, rows: int) -> None:
        super().__init__(network, rows)
        self.read_bytes = 4 * self.parts.numel()

    def run(self, layer: int) -> Tensor:
        program, columns = self.program, self.columns
        places = columns.positions[: self.rows], columns.pages, columns.offsets
        rotate_and_write(self.parts, program.cosine, program.sine, *places, self.query, self.storage, layer)
        return self.query

    def twin(self, layer: int) -> Tensor:
        program, columns, rows = self.program, self.columns, self.rows
        heads, key_heads = self.query.shape[1], self.storage.shape[3]
        tables = program.cosine, program.sine, columns.positions[:rows]
        query, *written = plain_rotate(self.parts, *tables, heads, key_heads)
        for kind, states in enumerate(written):
            place = columns.pages[:rows].long(), layer, kind, slice(None), columns.offsets[:rows].long()
            self.storage[place] = states.to(self.storage.dtype)
        return query.to(self.query.dtype)


class AttentionCase(PagedCase):
    """Attention over pages; torch gathers them first, and has its fused kernel then."""

    kernel = "attention"

    def __init__(self, network: GpuNetwork, rows: int) -> None:
        super().__init__(network, rows)
        config = network.config
        self.query *= config.head_size**-0.5
        self.out = torch.empty_like(self.query)
        self.read_bytes = 4 * (CONTEXT + rows) * config.num_key_value_heads * config.head_size
        self.products = 2 * rows * (CONTEXT + rows) * config.num_heads * config.head_size
        slots = torch.arange(len(self.pages) * PAGE_SLOTS, device=self.device)
        before, start, stop = self.columns.visible[:rows].long().T[:, :, None]
        self.seen = (slots < before) | ((slots >= start) & (slots < stop))  # [R, S]

    def run(self, layer: int) -> Tensor:
        columns = self.columns
        partial = self.program.partial(self.shape)
        attend(self.query, self.storage, layer, columns.page_tables, columns.visible, columns.tiles, partial, self.out)
        return self.out

    def twin(self, layer: int) -> Tensor:
        pages = self.storage[self.pages, layer]  # [pages, 2, K, slots, E]
        keys, values = pages.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, None]  # 2 x [1, K, S, E]
        query = self.query.transpose(0, 1)[None]  # [1, H, R, E]
        found = F.scaled_dot_product_attention(query, keys, values, self.seen, scale=1.0, enable_gqa=True)
        return found[0].transpose(0, 1)


class DecisionCase(Case):
    """Head, softmax and choice; torch writes logits and probabilities. The one head may stay in a cache if int8."""

    kernel = "decision"

    def __init__(self, program: Program, rows: int) -> None:
        super().__init__(program, rows)
        self.plain = _bfloat16(program.embedding)
        self.bias = torch.zeros(program.config.vocabulary_size, device=self.device)
        self.states = self.random(rows, program.config.hidden_size, dtype=torch.float32)
        self.read_bytes, self.products = program.embedding.bytes, rows * self.plain.numel()

    def run(self, layer: int) -> Tensor:
        decided = self.program.decide(self.states, self.bias)
        return decided[:, 1:3]  # the best logit, and the sum of exp(logit - best)

    def twin(self, layer: int) -> Tensor:
        logits = F.linear(self.states.bfloat16(), self.plain).float() + self.bias
        logarithms = logits.log_softmax(dim=1)
        best, _ = logits.max(dim=1)
        self.entropy = -(logarithms.exp() * logarithms).sum(dim=1)
        return torch.stack([best, (-logarithms.amax(dim=1)).exp()], dim=1)


def cases(network: GpuNetwork, sizes: Sizes) -> Iterator[Case]:
    """All kernels of a step."""
    for rows in sizes.kernel_rows:
        yield from (LinearCase(network.program, rows, name) for name in LINEARS)
        yield NormCase(network.program, rows)
        yield PositionsCase(network, rows)
        yield AttentionCase(network, rows)
        yield DecisionCase(network.program, rows)


def measure_all(network: Network, sizes: Sizes, speeds: Speeds, watch: Stopwatch, *, repeats: int) -> list[KernelRow]:
    """Every case.

    Raises:
        ValueError: the network is another one; its kernels were not taken on this device.
    """
    if not isinstance(network, GpuNetwork):
        raise ValueError("suite: the GPU's own kernels are not used here; the log says why")
    return [measure(case, sizes, speeds, watch, repeats=repeats) for case in cases(network, sizes)]


def measure(case: Case, sizes: Sizes, speeds: Speeds, watch: Stopwatch, *, repeats: int) -> KernelRow:
    """The kernel and torch in turn."""
    fast_result, twin_result = (case.summed(each(0)) for each in (case.run, case.twin))
    layers = len(case.program.layers)
    replays = [_recorded(each, layers, sizes.replays, watch.device) for each in (case.run, case.twin)]
    count = layers * sizes.replays
    fast, twin = watch.best(replays, repeats)
    return kernel_row(
        case.kernel,
        rows=case.rows,
        context=case.context,
        ms=(fast / count, twin / count),
        read_bytes=case.read_bytes,
        products=case.products,
        results=(fast_result, twin_result),
        speeds=speeds,
        cores=watch.cores,
        n=repeats,
    )


def _recorded(run: Callable[[int], Tensor], layers: int, replays: int, device: torch.device) -> Callable[[], None]:
    """All layers, `replays` times."""

    def work() -> None:
        for layer in range(layers):
            run(layer)

    replay: Callable[[], None] = work
    if device.type == "cuda":
        with contextlib.suppress(RuntimeError):  # what torch does may wait for the device; then it is timed as it is
            replay = cuda_graphs()(work)

    def often() -> None:
        for _ in range(replays):
            replay()

    return often


def _bfloat16(weight: Weight) -> Tensor:
    rows = weight.rows.float() if weight.scale is None else weight.rows.float() * weight.scale[:, None]
    return rows.bfloat16()
