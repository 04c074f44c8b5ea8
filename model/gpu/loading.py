"""The GPU's own network where it can be trusted; the reason why not in one line of the log."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from ..config import ModelConfig
from ..network import Network
from . import unsupported

logger = logging.getLogger(__name__)


def load_gpu_network(config: ModelConfig, tensors: dict[str, Tensor], *, device: torch.device) -> Network | None:
    """Weights on the device and every kernel compared with its twin there; None where plain torch has to serve."""
    network, problem = None, unsupported(config, tensors)
    if problem is None:
        try:
            network, problem = _checked(config, tensors, device)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a compiler, a driver or a card that nobody has tried
            problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    if problem is not None:
        logger.warning("plain torch computes, the GPU's own kernels do not: %s", problem)
        return None
    return network


def _checked(config: ModelConfig, tensors: dict[str, Tensor], device: torch.device) -> tuple[Network, str | None]:
    from .graphs import cuda_graphs
    from .network import GpuNetwork
    from .self_check import first_problem

    problem = first_problem(config, device)
    network = GpuNetwork(config, tensors, device=device, capture=cuda_graphs() if device.type == "cuda" else None)
    return network, problem
