"""Every kernel against its twin on this very device, in the sizes of this very network, before it is used."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..adapter import linear_shapes
from ..cache import PAGE_SLOTS
from ..checkpoint import quantize_rows
from ..config import ModelConfig
from .attention import STRETCH, STRETCH_PAGES, Partial, Tiles, attend, plain_attend, tile_tokens
from .decide import TOLD, decide, parts_of, plain_decide
from .linear import Weight, as_weight, linear, plain_linear, tiling_of
from .norm import embed, plain_embed, plain_residual_norm, residual_norm
from .rotary import plain_rotate_and_write, rotate_and_write

ROWS = 5
TOLERANCE = 2.0**-6
"""Norm of the difference over the norm of the twin's result: results are rounded to bf16 here and there."""

Compared = tuple[Tensor, Tensor]
"""What a kernel says, and its twin."""


def first_problem(config: ModelConfig, device: torch.device) -> str | None:
    """The first kernel that differs from its twin, in a few words; None when all agree."""
    check = KernelCheck(config, device)
    kernels: dict[str, Callable[[], list[Compared]]] = {
        "linear layers": check.linear_layers,
        "embedding and norm": check.rows,
        "positions": check.positions,
        "attention": check.attention,
        "decision": check.decision,
    }
    for name, compare in kernels.items():
        for found, wanted in compare():
            error = float((found.float() - wanted.float()).norm() / wanted.float().norm())
            if not error <= TOLERANCE:  # NaN is a difference too
                return f"the kernel for {name} differs from its twin by {error:.1g}"
    return None


class KernelCheck:
    """Random inputs in the sizes of a network."""

    def __init__(self, config: ModelConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.generator = torch.Generator(device).manual_seed(0)

    def linear_layers(self) -> list[Compared]:
        """All matrices of a layer, as bf16 and as int8 rows."""
        compared = []
        for name, (columns, depth) in linear_shapes(self.config).items():
            if not name.startswith("layers.0."):
                continue
            gated = name.endswith("gate_up")
            x = self._random(ROWS, depth).bfloat16()
            for weight in self._weights(columns, depth):
                tiling = tiling_of(columns // 2 if gated else columns, depth, gated=gated)
                wanted = plain_linear(x, weight, gated=gated)
                out = self._poisoned(tiling.splits, *wanted.shape)
                linear(x, weight, out, tiling, gated=gated)
                compared.append((out.sum(dim=0), wanted))
        return compared

    def rows(self) -> list[Compared]:
        """The embedding, and the norm behind a cut sum."""
        size = self.config.hidden_size
        compared = []
        tokens = torch.arange(ROWS, dtype=torch.int32, device=self.device)
        for weight in self._weights(ROWS, size):
            x = self._poisoned(ROWS, size)
            embed(tokens, weight, x)
            compared.append((x, plain_embed(tokens, weight)))
        x, parts, weight_row = self._random(ROWS, size), self._random(2, ROWS, size), self._random(size)
        total, normed = plain_residual_norm(x, parts, weight_row, self.config.norm_epsilon)
        out = self._poisoned(ROWS, size)
        residual_norm(x, parts, weight_row, out, self.config.norm_epsilon)
        return [*compared, (x, total), (out, normed)]

    def positions(self) -> list[Compared]:
        """Queries, and keys and values in their slots."""
        config = self.config
        width = (config.num_heads + 2 * config.num_key_value_heads) * config.head_size
        parts = self._random(2, ROWS, width)
        cosine, sine = (self._random(ROWS, config.head_size // 2) for _ in range(2))
        rows = torch.arange(ROWS, dtype=torch.int32, device=self.device)
        made = []
        for run in (rotate_and_write, plain_rotate_and_write):
            query = self._poisoned(ROWS, config.num_heads, config.head_size).bfloat16()
            storage = torch.zeros_like(self._storage(2))
            run(parts, cosine, sine, rows, rows % 2, rows, query, storage, 0)
            made.append((query, storage))
        return list(zip(*made, strict=True))

    def attention(self) -> list[Compared]:
        """A clean token and a block behind a context of more than one stretch."""
        config, context = self.config, STRETCH + 9
        storage = self._storage(2 * STRETCH_PAGES)
        limits = [[context + 1, 0, 0], *[[context + 1, context + 1, context + ROWS]] * (ROWS - 1)]
        step = tile_tokens(config.num_heads, config.num_key_value_heads)
        tiles = [(first, min(step, ROWS - first), 0) for first in range(0, ROWS, step)]
        tables = torch.randperm(len(storage), generator=self.generator, device=self.device).int()[None]
        columns = Tiles(*torch.tensor(tiles, dtype=torch.int32, device=self.device).T.contiguous())
        query = (self._random(ROWS, config.num_heads, config.head_size) * config.head_size**-0.5).bfloat16()
        arguments = (query, storage, 0, tables, torch.tensor(limits, dtype=torch.int32, device=self.device), columns)
        partial = Partial(
            self._poisoned(ROWS, config.num_heads, 2, config.head_size),
            *(self._poisoned(ROWS, config.num_heads, 2) for _ in range(2)),
        )
        out = self._poisoned(*query.shape).bfloat16()
        attend(*arguments, partial, out)
        return [(out, plain_attend(*arguments))]

    def decision(self) -> list[Compared]:
        """Logits and sums; which of two nearly equal tokens is best may be seen differently."""
        config = self.config
        bias = torch.zeros(config.vocabulary_size, device=self.device)
        bias[: config.vocabulary_size // 2] = -torch.inf
        states = self._random(ROWS, config.hidden_size)
        compared = []
        for weight in self._weights(config.vocabulary_size, config.hidden_size):
            told = self._poisoned(ROWS, parts_of(config.vocabulary_size), TOLD)
            out = self._poisoned(ROWS, TOLD)
            decide(states, weight, bias, told, out)
            compared.append((out[:, 1:], plain_decide(states, weight, bias)[:, 1:]))
        return compared

    def _weights(self, columns: int, depth: int) -> list[Weight]:
        values = self._random(columns, depth) * depth**-0.5
        return [as_weight(values, None, self.device), as_weight(*quantize_rows(values), self.device)]

    def _storage(self, pages: int) -> Tensor:
        """Pages of a network of one layer."""
        return self._random(pages, 1, 2, self.config.num_key_value_heads, PAGE_SLOTS, self.config.head_size).bfloat16()

    def _random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def _poisoned(self, *shape: int) -> Tensor:
        """What is not written shows."""
        return torch.full(shape, torch.nan, device=self.device)
