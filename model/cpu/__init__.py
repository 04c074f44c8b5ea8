"""The network as one native program, for CPUs that multiply bytes (AVX-512 VNNI). Elsewhere plain torch computes."""

from __future__ import annotations

import importlib.util
import platform

import torch
from torch import Tensor

from ..checkpoint import SCALE_SUFFIX
from ..config import ModelConfig


def runs_here(config: ModelConfig) -> bool:
    """Whether this CPU has the instructions, and the network is one that the program computes."""
    return not obstacle(config)


def obstacle(config: ModelConfig) -> str:
    """Why the program cannot compute this network here; empty when it can."""
    if platform.machine() not in ("x86_64", "AMD64") or importlib.util.find_spec("llvmlite") is None:
        return "it is for x86-64 with llvmlite"
    if not getattr(torch.cpu, "_is_vnni_supported", lambda: False)():
        return "this CPU has no AVX-512 VNNI"
    if config.qkv_bias or config.qk_norm or not config.tied_head:
        return "it knows no biases, no norms of heads and no head of its own"
    if config.context_block > 1:
        return "its clean tokens see none behind them"
    sizes = (config.hidden_size, config.intermediate_size, config.head_size // 2)
    return "" if all(size % 16 == 0 for size in sizes) else "its vectors do not fit the sizes of this network"


def packable(tensors: dict[str, Tensor]) -> bool:
    """Whether every matrix is stored as int8 rows."""
    return all(name + SCALE_SUFFIX in tensors for name, tensor in tensors.items() if tensor.dim() == 2)
