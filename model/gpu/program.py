"""The kernels of a step in their order, over weights and memory that stay where they are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..adapter import LINEARS
from ..checkpoint import SCALE_SUFFIX
from ..config import ModelConfig
from ..network import MAX_POSITIONS
from ..transformer import Rotary
from .attention import Partial, attend
from .decide import TOLD, decide, parts_of
from .inputs import Columns
from .linear import Tiling, Weight, as_weight, linear, tiling_of
from .norm import embed, residual_norm
from .rotary import rotate_and_write
from .shapes import ROWS, SLOTS, StepShape


class LayerWeights(NamedTuple):
    """One layer on the device; norms in fp32."""

    attention_norm: Tensor
    mlp_norm: Tensor
    qkv: Weight
    attention_out: Weight
    gate_up: Weight
    down: Weight


class Program:
    """Shapes: R rows of the step's shape, D hidden, I inner, H heads, E head size."""

    def __init__(self, config: ModelConfig, tensors: dict[str, Tensor], device: torch.device) -> None:
        """
        Args:
            tensors: as a checkpoint stores them; int8 rows stay int8, the rest becomes bf16 but for norms.
        """
        self.config, self.device = config, device

        def weight(name: str) -> Weight:
            return as_weight(tensors[name], tensors.get(name + SCALE_SUFFIX), device)

        def norm(name: str) -> Tensor:
            return tensors[name].to(device, torch.float32)

        self.embedding = weight("embedding.weight")
        self.norm = norm("norm.weight")
        self.layers = [
            LayerWeights(
                norm(f"layers.{index}.attention_norm.weight"),
                norm(f"layers.{index}.mlp_norm.weight"),
                *(weight(f"layers.{index}.{name}.weight") for name in LINEARS),
            )
            for index in range(config.num_layers)
        ]
        tables = Rotary(config)(torch.arange(MAX_POSITIONS, device=device)[None])
        self.cosine, self.sine = (table[0, 0, :, : config.head_size // 2].contiguous() for table in tables)
        self._allocate()

    def _allocate(self) -> None:
        """What a step works in, for the largest shape."""
        config, rows, stretches = self.config, ROWS[-1], StepShape(ROWS[-1], SLOTS[-1]).stretches
        first = self.layers[0]
        widest = max(tiling_of(*matrix.rows.shape).splits * len(matrix.rows) for matrix in first[2:4] + first[5:])
        heads, size = config.num_heads, config.head_size

        def room(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=self.device)

        self.x, self.states = room(rows, config.hidden_size), room(rows, config.hidden_size)
        self.normed = room(rows, config.hidden_size, dtype=torch.bfloat16)
        self.inner = room(rows, config.intermediate_size, dtype=torch.bfloat16)
        self.query, self.attended = (room(rows, heads, size, dtype=torch.bfloat16) for _ in range(2))
        self.parts = room(rows * widest)
        self.stretches = room(rows * heads * stretches * (size + 2))
        self.told = room(rows, parts_of(config.vocabulary_size), TOLD)
        self.decided = room(rows, TOLD)

    def step(self, shape: StepShape, columns: Columns, storage: Tensor) -> None:
        """Tokens in, final hidden states in `states`; keys and values of every row go to its slot."""
        rows, epsilon = shape.rows, self.config.norm_epsilon
        x, normed, inner, query, attended = (
            buffer[:rows] for buffer in (self.x, self.normed, self.inner, self.query, self.attended)
        )
        partial = self.partial(shape)
        embed(columns.tokens, self.embedding, x)
        parts: Tensor | None = None
        for index, layer in enumerate(self.layers):
            residual_norm(x, parts, layer.attention_norm, normed, epsilon)
            heads = self._linear(normed, layer.qkv)
            places = columns.positions, columns.pages, columns.offsets
            rotate_and_write(heads, self.cosine, self.sine, *places, query, storage, index)
            attend(query, storage, index, columns.page_tables, columns.visible, columns.tiles, partial, attended)
            parts = self._linear(attended.flatten(1), layer.attention_out)
            residual_norm(x, parts, layer.mlp_norm, normed, epsilon)
            linear(normed, layer.gate_up, inner[None], _gated(layer.gate_up), gated=True)
            parts = self._linear(inner, layer.down)
        residual_norm(x, parts, self.norm, self.states[:rows], epsilon)

    def decide(self, states: Tensor, bias: Tensor) -> Tensor:
        """What `decide.decide` says of each row; the next call overwrites it.  # fp32 [R, D] -> fp32 [R, TOLD]"""
        decided = self.decided[: len(states)]
        decide(states, self.embedding, bias, self.told[: len(states)], decided)
        return decided

    def logits(self, states: Tensor) -> Tensor:
        """All of them, where more than the best is asked for.  # fp32 [R, D] -> fp32 [R, V]"""
        tiling = tiling_of(self.config.vocabulary_size, self.config.hidden_size)
        out = torch.empty((tiling.splits, len(states), self.config.vocabulary_size), device=self.device)
        linear(states.bfloat16(), self.embedding, out, tiling)
        return out.sum(dim=0)

    def _linear(self, x: Tensor, weight: Weight) -> Tensor:
        """A layer into the shared scratch, to be read before the next one.  # bf16 [R, K] -> fp32 [splits, R, N]"""
        columns, depth = weight.rows.shape
        tiling = tiling_of(columns, depth)
        out = self.parts[: tiling.splits * len(x) * columns].view(tiling.splits, len(x), columns)
        linear(x, weight, out, tiling)
        return out

    def partial(self, shape: StepShape) -> Partial:
        """Room for what stretches say, of one shape."""
        rows = shape.rows, self.config.num_heads, shape.stretches
        count = rows[0] * rows[1] * rows[2]
        size = self.config.head_size
        values, largest, total = torch.split(self.stretches[: count * (size + 2)], [count * size, count, count])
        return Partial(values.view(*rows, size), largest.view(rows), total.view(rows))


def _gated(weight: Weight) -> Tiling:
    doubled, depth = weight.rows.shape
    return tiling_of(doubled // 2, depth, gated=True)
