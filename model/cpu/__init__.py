"""The network as one native program, for CPUs that multiply bytes (AVX-512 VNNI). Elsewhere plain torch computes."""

from __future__ import annotations

import importlib.util
import platform

import torch
from torch import Tensor

from ..checkpoint import SCALE_SUFFIX
from ..config import ModelConfig


def runs_here(config: ModelConfig) -> bool:
    """Whether this CPU has the instructions, and the network sizes of whole vectors."""
    if platform.machine() not in ("x86_64", "AMD64") or importlib.util.find_spec("llvmlite") is None:
        return False
    if not getattr(torch.cpu, "_is_vnni_supported", lambda: False)():
        return False
    sizes = (config.hidden_size, config.intermediate_size, config.head_size // 2)
    return all(size % 16 == 0 for size in sizes)


def packable(tensors: dict[str, Tensor]) -> bool:
    """Whether every matrix is stored as int8 rows."""
    return all(name + SCALE_SUFFIX in tensors for name, tensor in tensors.items() if tensor.dim() == 2)
