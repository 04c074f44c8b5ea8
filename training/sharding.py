"""Weights, gradients and optimizer state shared out among the processes of a run: FSDP2, torch's `fully_shard`.

Each process holds its share of every layer and gathers the whole of a layer while it is computed. The losses of a step
are normalised over all processes, so that gradients are added up, not averaged.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from diffill.model.transformer import Transformer

WHOLE_PASSES = frozenset({"causal", "joint", "edit"})
"""Stages that run the network as a whole; others run parts of it, which would not be gathered."""


def shard(model: Transformer) -> None:
    """Share out every layer, and what is left in one piece. Call before the optimizer is made."""
    from torch.distributed.fsdp import FSDPModule, fully_shard  # takes a second, which few runs need

    for layer in model.layers:
        fully_shard(layer)
    fully_shard(model)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Everything that is trained, whole and in fp32 on the CPU. All processes of a sharded run have to call it."""
    if callable(reshard := getattr(model, "reshard", None)):
        reshard()  # a measurement leaves the embedding gathered
    return {
        name: whole(parameter.detach()).cpu().contiguous()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def whole(tensor: Tensor) -> Tensor:
    """Gathered, where it is shared out."""
    if not dist.is_initialized():
        return tensor
    from torch.distributed.tensor import DTensor

    gathered: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return gathered


def clipped(model: nn.Module, most: float) -> Tensor:
    """The norm of all gradients, which are scaled down to `most` where they are longer."""
    return whole(torch.nn.utils.clip_grad_norm_(model.parameters(), most))
