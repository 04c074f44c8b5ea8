"""Tiny random models that go through the same code as the real one: a byte vocabulary and two layers.

No assertions here: tests also run under `python -O`, which drops those of helpers.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from diffill.model.checkpoint import SCALE_SUFFIX, quantize_rows, save_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.loading import build_network, build_plain_network
from diffill.model.network import Network
from diffill.model.tokenizer import NUM_CONTROL_IDS, Tokenizer
from diffill.model.torch_network import TorchNetwork
from diffill.model.transformer import Transformer

VOCABULARY_SIZE = NUM_CONTROL_IDS + 256


def tiny_tokenizer() -> Tokenizer:
    """Every byte is one token; the ids below `NUM_CONTROL_IDS` are control ids, as in the real vocabulary."""
    controls = [f"<|reserved_{index}|>" for index in range(NUM_CONTROL_IDS)]
    return Tokenizer.from_vocabulary([*controls, *sorted(ByteLevel.alphabet())], [])


def text(length: int, seed: int = 0) -> list[int]:
    """Random tokens of the tiny vocabulary, no control ids among them."""
    generator = random.Random(seed)
    return [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(length)]


def tiny_config(**changes: Any) -> ModelConfig:
    values: dict[str, Any] = {
        "name": "tiny",
        "vocabulary_size": VOCABULARY_SIZE,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_layers": 2,
        "num_heads": 4,
        "num_key_value_heads": 2,
        "head_size": 32,
        "rope_theta": 10_000.0,
        "norm_epsilon": 1e-5,
        "max_positions": 16_384,
    }
    return ModelConfig(**(values | changes))


def tiny_weights(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """Random weights, large enough that context decides the next token rather than the token before it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Transformer(config).state_dict().items()}
    weights = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        weights[name] = 1.0 + 0.1 * values if len(shape) == 1 else values * (2.0 / shape[1] ** 0.5)
    return weights


def tiny_transformer(config: ModelConfig, seed: int = 0) -> Transformer:
    """In fp32."""
    model = Transformer(config)
    model.load_state_dict(tiny_weights(config, seed))
    return model.eval().requires_grad_(False)


def tiny_network(
    config: ModelConfig, seed: int = 0, *, dtype: torch.dtype = torch.int8, plain: bool = False
) -> Network:
    """A network on the CPU, in int8 as shipped or in float32; `plain` is int8 in torch, where there is a choice."""
    if dtype != torch.int8:
        return TorchNetwork(tiny_transformer(config, seed), device=torch.device("cpu"))
    build = build_plain_network if plain else build_network
    return build(config, quantized(tiny_weights(config, seed)), device=torch.device("cpu"))


def quantized(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """As an int8 checkpoint stores them."""
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.dim() == 2:
            stored[name], stored[name + SCALE_SUFFIX] = quantize_rows(weight)
        else:
            stored[name] = weight
    return stored


def tiny_checkpoint(
    path: Path, *, dtype: torch.dtype = torch.int8, config: ModelConfig | None = None, seed: int = 0
) -> Path:
    """A complete checkpoint directory at `path`."""
    config = config or tiny_config()
    weights = tiny_weights(config, seed)
    save_checkpoint(path, config=config, weights=weights, tokenizer=tiny_tokenizer(), dtype=dtype)
    return path
