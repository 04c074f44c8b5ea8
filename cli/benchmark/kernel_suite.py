"""The suite `kernels`: the network's own operations, and on a GPU each kernel of a step."""

from __future__ import annotations

import torch

from diffill.model.checkpoint import checkpoint_hash, load_checkpoint
from diffill.model.client import EngineSettings
from diffill.model.decoder_loading import model_info
from diffill.model.device import choose_device
from diffill.model.gpu import chosen
from diffill.model.request import ModelInfo
from diffill.model.threads import FreeCores

from .bar import bar
from .kernels import REHEARSAL, Kernels, Sizes, operations
from .random_weights import random_tensors, shape_of
from .report import KernelRow
from .speeds import measure_speeds


def measure_kernels(settings: EngineSettings, count: int, shape: str | None) -> tuple[ModelInfo, list[KernelRow]]:
    """`count` repetitions of everything.

    Args:
        shape: of weights that mean nothing, in place of the checkpoint's.

    Raises:
        ValueError: the checkpoint is broken, or nothing faster than plain torch runs here; one line.
    """
    name, _ = choose_device(settings.device)
    device = torch.device(name)
    free = FreeCores()
    if shape is None:
        config, tensors = load_checkpoint(settings.checkpoint)
    else:
        config = shape_of(shape)
        tensors = random_tensors(config, device)
    on_gpu = chosen(device)
    sizes = REHEARSAL if on_gpu and name == "cpu" else Sizes()
    kernels = Kernels(config, tensors, device, sizes)
    # Those that nobody used while the weights were loaded: a thread that waits for a core times another program.
    kernels.use_cores(free.count() if name == "cpu" else torch.cuda.get_device_properties(device).multi_processor_count)
    speeds = measure_speeds(kernels.watch)
    rows = [kernels.measure(one, speeds, repeats=count) for one in bar(operations(config, sizes, on_gpu=on_gpu))]
    if on_gpu:
        from .gpu_kernels import measure_all

        rows += measure_all(kernels.fast, sizes, speeds, kernels.watch, repeats=count)
    return model_info(config, "random" if shape else checkpoint_hash(settings.checkpoint), name), rows
