"""A checkpoint onto a device, in the form that the device computes fastest."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .adapter import Adapter, merge
from .checkpoint import SCALE_SUFFIX, dequantize, is_int8, load_checkpoint, quantize_rows
from .config import ModelConfig
from .cpu import obstacle
from .gpu import chosen as kernels_chosen
from .gpu.loading import load_gpu_network
from .hugging_face.layout import is_hugging_face
from .hugging_face.vocabulary import read_vocabulary
from .hugging_face.weights import read_weights
from .network import Network
from .quantize import load_int8
from .torch_network import TorchNetwork
from .transformer import Transformer
from .trim import give_back

logger = logging.getLogger(__name__)


def load_network(
    directory: Path,
    *,
    device: torch.device,
    adapter: Adapter | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Network:
    """Build the network of a checkpoint on a device: int8 on the CPU where it is stored so, bf16 on an accelerator.

    Args:
        adapter: merged into the weights; it was checked against this checkpoint.

    Raises:
        ValueError: a broken checkpoint, or weights of another shape than `config.json` says; one line.
    """
    config, tensors = _stored(directory, device, whole=adapter is not None, on_progress=on_progress)
    with torch.device("meta"):
        model = Transformer(config)
    _check_shapes(directory, model, tensors)
    if adapter is not None:
        merge(tensors, adapter)
    network = build_network(config, tensors, device=device)
    tensors.clear()
    give_back()
    return network


def adapted_network(network: Network, directory: Path, adapter: Adapter) -> Network:
    """A network beside one that goes on decoding: the same checkpoint with an adapter in it, on the same device.

    What the adapter does not touch is shared where the network allows it. The two must not run at once.

    Raises:
        ValueError: the checkpoint cannot be read any more.
    """
    config, tensors = _stored(directory, network.device, whole=True)
    merge(tensors, adapter)
    from .cpu.network import CpuNetwork

    if isinstance(network, CpuNetwork):
        other: Network = network.adapted(tensors)
    else:
        other = build_network(config, tensors, device=network.device)
        if isinstance(other, TorchNetwork) and isinstance(network, TorchNetwork):
            for name in ("embedding", "norm", "head"):
                setattr(other.model, name, getattr(network.model, name))
    tensors.clear()
    give_back()
    return other


def _stored(
    directory: Path,
    device: torch.device,
    *,
    whole: bool,
    on_progress: Callable[[float], None] = lambda share: None,
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Configuration and tensors as our checkpoints store them.

    Those in Hugging Face layout come tensor by tensor in the form that the device wants, for all of them at once need
    not fit twice.

    Args:
        whole: they are to be changed on the CPU before they go to the device.
    """
    if not is_hugging_face(directory):
        return load_checkpoint(directory, on_progress=on_progress)
    config = ModelConfig.load(directory)
    int8 = device.type == "cpu" and read_vocabulary(directory).profile.int8
    tensors: dict[str, Tensor] = {}
    for name, weight in read_weights(directory, config, on_progress=on_progress):
        if int8 and weight.dim() == 2:
            tensors[name], tensors[name + SCALE_SUFFIX] = quantize_rows(weight.float())
        elif device.type == "cpu" or whole:
            tensors[name] = weight.float() if weight.dtype == torch.float16 else weight
        else:
            tensors[name] = weight.to(device, torch.bfloat16)
    return config, tensors


def build_network(config: ModelConfig, tensors: dict[str, Tensor], *, device: torch.device) -> Network:
    """The fastest network of tensors as a checkpoint stores them; those that are packed otherwise are taken out."""
    if kernels_chosen(device) and (network := load_gpu_network(config, tensors, device=device)):
        return network
    why_not = obstacle(config) or ("" if is_int8(tensors) else "its weights are not int8")
    if device.type == "cpu" and why_not:
        logger.info("plain torch computes, the native program cannot: %s", why_not)
    elif device.type == "cpu":
        from .cpu.network import CpuNetwork

        return CpuNetwork(config, tensors)
    return build_plain_network(config, tensors, device=device)


def build_plain_network(config: ModelConfig, tensors: dict[str, Tensor], *, device: torch.device) -> TorchNetwork:
    """The same in torch alone."""
    with torch.device("meta"):
        model = Transformer(config).requires_grad_(False)  # what an adapter was merged into cannot learn
    if device.type == "cpu" and any(name.endswith(SCALE_SUFFIX) for name in tensors):
        load_int8(model, tensors)
    else:
        dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
        weights = {name: tensor.to(device, dtype) for name, tensor in dequantize(tensors).items()}
        model.load_state_dict(weights, assign=True)
    return TorchNetwork(model, device=device)


def _check_shapes(directory: Path, model: Transformer, tensors: dict[str, Tensor]) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.endswith(SCALE_SUFFIX)}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise ValueError(
            f"checkpoint: {directory}: {name} is {found.get(name, 'missing')}, "
            f"config.json says {wanted.get(name, 'nothing')}"
        )
