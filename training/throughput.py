"""How much of the device a run uses: floating-point operations of a batch against the device's bf16 peak (MFU)."""

from __future__ import annotations

import torch

from diffill.model.config import ModelConfig

from .batch import Batch

PEAK_FLOPS = {
    "H200": 989e12,
    "GH200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}
"""Dense bf16 with fp32 accumulation, operations a second, from NVIDIA's data sheets (without sparsity)."""


def peak_flops(device: str) -> float | None:
    """The peak of the device that is there; None for one that is not in the table, as every CPU."""
    if device != "cuda":
        return None
    name = torch.cuda.get_device_name()
    return next(
        (peak for part, peak in sorted(PEAK_FLOPS.items(), key=lambda item: -len(item[0])) if part in name), None
    )


def training_flops(config: ModelConfig, batch: Batch) -> float:
    """Operations that a forward and backward pass over `batch` needs, recomputation not counted (arXiv 2204.02311, B).

    6 a weight and token for the matrices, the head only where something is learned, and 12 x layers x heads x head size
    a pair of tokens that see each other. Padding counts as tokens: the device computes it.
    """
    attention = config.num_heads * config.head_size
    key_value = config.num_key_value_heads * config.head_size
    layer = config.hidden_size * (2 * attention + 2 * key_value + 3 * config.intermediate_size)
    head = config.hidden_size * config.vocabulary_size
    # A token sees those of its document before it; one of a noisy block sees the rest of its block instead.
    pairs = float(batch.positions.double().sum()) + batch.positions.numel()
    matrices = config.num_layers * layer * batch.tokens.numel() + head * len(batch.learned)
    return 6.0 * matrices + 12.0 * config.num_layers * attention * pairs
