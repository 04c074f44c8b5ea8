"""A decoder from a checkpoint directory: the device, whether the model fits it, and what its weights can do."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path

import torch

from .adapter import load_adapter
from .checkpoint import checkpoint_hash
from .config import ModelConfig
from .device import DEVICE_FAULTS, choose_device, fault, free_bytes
from .engine import BlockDecoder
from .hugging_face.layout import is_hugging_face
from .hugging_face.vocabulary import read_vocabulary
from .loading import adapted_network, load_network
from .memory import TooLarge, footprint, parameters
from .request import MODES, ModelInfo, modes_of
from .residents import Residents
from .tokenizer import Tokenizer

logger = logging.getLogger(__name__)


def load_decoder(
    *,
    checkpoint: Path,
    device: str = "auto",
    adapter: Path | None = None,
    on_progress: Callable[[float], None] = lambda share: None,
) -> BlockDecoder:
    """Load a checkpoint directory onto a device.

    Where the device is ours to choose, a GPU that the model does not fit or that fails gives way to the CPU.

    Args:
        adapter: merged into the weights, in place of adapters that requests may name.

    Raises:
        ValueError: the checkpoint or the adapter is missing or broken, they do not belong together, the device is
            not there, or the model does not fit it; one line.
    """
    if not checkpoint.is_dir():
        raise ValueError(f"checkpoint: {checkpoint} is not a directory")
    chosen, _ = choose_device(device)
    try:
        return _load(checkpoint, chosen, adapter, on_progress)
    except (TooLarge, torch.OutOfMemoryError, *DEVICE_FAULTS) as error:
        if chosen == "cpu" or device != "auto":
            raise ValueError(f"device: {chosen}: {fault(error)}") from None
        logger.warning("%s is passed over for the CPU: %s", chosen, fault(error))
    return _load(checkpoint, "cpu", adapter, on_progress)


def _load(checkpoint: Path, device: str, adapter: Path | None, on_progress: Callable[[float], None]) -> BlockDecoder:
    tokenizer = Tokenizer.load(checkpoint)
    cache_bytes = footprint(checkpoint, device).cache_within(free_bytes(device))
    loaded = load_adapter(adapter, base=checkpoint) if adapter else None
    network = load_network(checkpoint, device=torch.device(device), adapter=loaded, on_progress=on_progress)
    config = network.config
    if tokenizer.vocabulary_size != config.vocabulary_size:
        raise ValueError(
            f"checkpoint: {checkpoint}: tokenizer.json has {tokenizer.vocabulary_size} tokens, "
            f"config.json says {config.vocabulary_size}"
        )
    info = model_info(config, checkpoint_hash(checkpoint), device, adapter=loaded.identity if loaded else None)
    if missing := [mode for mode in MODES if mode not in info.modes]:
        said = " and ".join(missing)
        logger.info("%s has not learned %s: such requests are decoded as %s", config.name, said, info.modes[0])
    return BlockDecoder(
        network,
        tokenizer=tokenizer,
        info=info,
        residents=None if adapter else Residents(checkpoint, functools.partial(adapted_network, network, checkpoint)),
        arranged=read_vocabulary(checkpoint).arranged if is_hugging_face(checkpoint) else list,
        cache_bytes=cache_bytes,
    )


def model_info(config: ModelConfig, hash_: str, device: str, *, adapter: str | None = None) -> ModelInfo:
    """What a loaded checkpoint is, for those who ask."""
    return ModelInfo(
        name=config.name,
        hash=hash_,
        adapter=adapter,
        device=device,
        vocabulary_size=config.vocabulary_size,
        block_size=config.block_size,
        parameters=parameters(config),
        modes=modes_of(config),
    )
