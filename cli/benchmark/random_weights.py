"""Weights of a shape and no meaning: how long a step takes does not depend on what they say."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from diffill.model.checkpoint import SCALE_SUFFIX, quantize_rows
from diffill.model.config import DEFAULT_CHECKPOINT, ModelConfig
from diffill.model.transformer import Transformer

SHAPES = ("default", "default-int8", "8b", "8b-int8")


def shape_of(name: str) -> ModelConfig:
    """The default model's shape, or that of an 8B Llama (with our vocabulary's control ids, and a tied head)."""
    config = ModelConfig.load(DEFAULT_CHECKPOINT)
    if name.startswith("8b"):
        config = replace(
            config,
            vocabulary_size=128256,
            hidden_size=4096,
            intermediate_size=14336,
            num_layers=32,
            num_heads=32,
            num_key_value_heads=8,
            head_size=128,
        )
    return replace(config, name=f"random-{name}")


def random_tensors(config: ModelConfig, device: torch.device) -> dict[str, Tensor]:
    """As a checkpoint stores them, made on the device; int8 where the shape's name says so."""
    generator = torch.Generator(device).manual_seed(0)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Transformer(config).state_dict().items()}
    tensors: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            tensors[name] = torch.ones(shape, device=device)
            continue
        values = torch.randn(shape, generator=generator, device=device, dtype=torch.bfloat16) * shape[1] ** -0.5
        if config.name.endswith("int8"):
            tensors[name], tensors[name + SCALE_SUFFIX] = quantize_rows(values.float())
        else:
            tensors[name] = values
    return tensors
