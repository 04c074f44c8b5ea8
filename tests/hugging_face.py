"""Tiny checkpoints as `transformers` itself writes them, for the tests: a byte vocabulary and random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from tokenizers.decoders import ByteLevel as ByteDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

BYTES = 256
CONTROL = ("<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|MASK|>")
"""As in Qwen's vocabulary: behind the text, and not all marked as special."""
END, FIM_PREFIX, FIM_MIDDLE, FIM_SUFFIX, FIM_PAD, HOLE = range(BYTES, BYTES + len(CONTROL))
PADDED = BYTES + len(CONTROL) + 11
SHAPE: dict[str, Any] = {
    "vocab_size": PADDED,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": END,
    "bos_token_id": None,
}
MODELS: dict[str, tuple[type, type]] = {
    "llama": (LlamaConfig, LlamaForCausalLM),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
}


def backend(controls: tuple[str, ...] = CONTROL) -> Backend:
    made = Backend(BPE(vocab={byte: index for index, byte in enumerate(sorted(ByteLevel.alphabet()))}, merges=[]))
    made.pre_tokenizer, made.decoder = ByteLevel(add_prefix_space=False, use_regex=True), ByteDecoder()
    made.add_tokens([AddedToken(name, special=index == 0, normalized=False) for index, name in enumerate(controls)])
    return made


def model_of(family: str, seed: int = 0, **changes: Any) -> Any:
    """Random weights, large enough that context decides the next token."""
    config, model = MODELS[family]
    torch.manual_seed(seed)
    made: Any = model(config(**(SHAPE | changes)))
    generator = torch.Generator().manual_seed(seed)
    for parameter in made.parameters():
        values = torch.randn(parameter.shape, generator=generator)
        one = parameter.dim() == 1 and bool((parameter == 1).all())
        parameter.data = 1.0 + 0.1 * values if one else values * (2.0 / parameter.shape[-1] ** 0.5)
    made.tie_weights()
    return made.eval().requires_grad_(False)


def save(path: Path, model: Any, *, profile: dict[str, Any] | None = None, **options: Any) -> Path:
    """A directory as one downloads it."""
    model.save_pretrained(path, **options)
    backend().save(str(path / "tokenizer.json"))
    if profile is not None:
        (path / "decoding_profile.json").write_text(json.dumps(profile), "utf-8")
    return path


def change(path: Path, **values: Any) -> None:
    """Keys of `config.json`; None removes one."""
    config = json.loads((path / "config.json").read_text("utf-8")) | values
    kept = {name: value for name, value in config.items() if value is not None}
    (path / "config.json").write_text(json.dumps(kept), "utf-8")
