"""The network as fused kernels behind CUDA graphs. Elsewhere, and for other families of models, plain torch computes.

A row of a step is computed the same, bit for bit, whatever else is in the step: every kernel cuts its sums in one way
that depends on the network's sizes and on slot numbers, never on the number of rows.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable

import torch

from ..adapter import linear_shapes
from ..checkpoint import SCALE_SUFFIX
from ..config import ModelConfig

QUERY_ROWS = 16
"""Rows of a product on tensor cores: query heads that share a key head stand below one another in them."""


def chosen(device: torch.device) -> bool:
    """Whether steps on this device are asked of the kernels: on CUDA. `DIFFILL_INTERPRET_KERNELS=1`, with
    `TRITON_INTERPRET=1`, rehearses that on a CPU, very slowly."""
    return device.type == "cuda" or (device.type == "cpu" and os.environ.get("DIFFILL_INTERPRET_KERNELS") == "1")


def unsupported(config: ModelConfig, names: Iterable[str]) -> str | None:
    """Why these kernels cannot compute a network; None where they can.

    Args:
        names: of its tensors, as a checkpoint stores them.
    """
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install 'diffill[gpu]')"
    sizes = {"head_size": config.head_size}
    if wrong := [name for name, size in sizes.items() if size & (size - 1) or size < 32]:
        return f"{wrong[0]} is {sizes[wrong[0]]}, which is no power of two from 32 on"
    if config.num_heads // config.num_key_value_heads > QUERY_ROWS:
        return f"more than {QUERY_ROWS} heads share a key head"
    if config.hidden_size % 16 or config.intermediate_size % 16:
        return "a size is no multiple of 16"
    if config.context_block > 1:
        return "its clean tokens see none behind them"
    others = {name.removesuffix(SCALE_SUFFIX) for name in names} ^ _names(config)
    return f"it has other weights than a Llama with a tied head: {min(others)}" if others else None


def _names(config: ModelConfig) -> set[str]:
    """Every tensor of the family that is computed here."""
    norms = {f"layers.{layer}.{name}.weight" for layer in range(config.num_layers) for name in NORMS}
    return {"embedding.weight", "norm.weight", *norms, *(f"{name}.weight" for name in linear_shapes(config))}


NORMS = ("attention_norm", "mlp_norm")
