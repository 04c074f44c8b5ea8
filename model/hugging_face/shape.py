"""`config.json` of `transformers` as a `ModelConfig`. What would be computed otherwise is refused. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import ModelConfig, RopeScaling
from ..tokenizer import MASK
from .layout import CONFIG_FILE, name_of, read_object
from .vocabulary import architecture_of, read_vocabulary

LLAMA, QWEN2, QWEN3 = "LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM"
FAMILY = {
    LLAMA: LLAMA,
    QWEN2: QWEN2,
    QWEN3: QWEN3,
    "SDARForCausalLM": QWEN3,
    "Fast_dLLM_QwenForCausalLM": QWEN2,
}
"""Architectures, and whose network they are."""


def read_shape(directory: Path) -> ModelConfig:
    """The configuration of a checkpoint in Hugging Face layout.

    Raises:
        ValueError: another architecture, or a feature that the network does not have; one line that names the key.
    """
    path = directory / CONFIG_FILE
    values = read_object(path)
    architecture = architecture_of(values)
    if architecture not in FAMILY:
        known = ", ".join(FAMILY)
        raise ValueError(f"checkpoint: {path}: architectures: {architecture or 'none'} is not one of {known}")
    family, vocabulary = FAMILY[architecture], read_vocabulary(directory)
    _refuse_what_differs(path, values, family)
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    try:
        hidden, heads = _whole(values, "hidden_size"), _whole(values, "num_attention_heads")
        return ModelConfig(
            name=name_of(directory),
            vocabulary_size=vocabulary.size,
            hidden_size=hidden,
            intermediate_size=_whole(values, "intermediate_size"),
            num_layers=_whole(values, "num_hidden_layers"),
            num_heads=heads,
            num_key_value_heads=values.get("num_key_value_heads") or heads,
            head_size=values.get("head_dim") or (128 if family == QWEN3 else hidden // heads),
            rope_theta=values.get("rope_theta", rope.get("rope_theta", 10_000.0)),
            norm_epsilon=values.get("rms_norm_eps", 1e-6),
            max_positions=values.get("max_position_embeddings", 2048),
            rope_scaling=_rope_scaling(rope),
            qkv_bias=family == QWEN2,
            qk_norm=family == QWEN3,
            tied_head=values.get("tie_word_embeddings", False),
            refused=vocabulary.refused,
            denoises=MASK in vocabulary.rows,
            context_block=vocabulary.profile.block_size if vocabulary.profile.context == "block" else 1,
            shift=vocabulary.profile.shift,
            block_size=vocabulary.profile.block_size,
            threshold=vocabulary.profile.threshold,
        )
    except KeyError as error:
        raise ValueError(f"checkpoint: {path} has no {error.args[0]}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"checkpoint: {path}: {error}") from None


def _whole(values: dict[str, Any], name: str) -> int:
    if type(values[name]) is not int or values[name] < 1:
        raise ValueError(f"{name}: {values[name]!r} is not a whole, positive number")
    return int(values[name])


def _refuse_what_differs(path: Path, values: dict[str, Any], family: str) -> None:
    wanted = {
        "hidden_act": ("silu", "silu"),
        "attention_bias": (False, False),
        "mlp_bias": (False, False),
        "use_sliding_window": (False, False),
        "quantization_config": (None, None),
        "pretraining_tp": (1, 1),
    }
    if family == QWEN2:  # its bias is always there, and its key says nothing
        del wanted["attention_bias"]
    for name, (value, otherwise) in wanted.items():
        if values.get(name, otherwise) != value:
            raise ValueError(f"checkpoint: {path}: {name}: {values[name]!r} is not supported, only {value!r} is")


def _rope_scaling(rope: dict[str, Any]) -> RopeScaling | None:
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind == "default":
        return None
    if kind == "linear":
        return RopeScaling(factor=rope["factor"])
    if kind == "llama3":
        return RopeScaling(
            factor=rope["factor"],
            low_frequency_factor=rope["low_freq_factor"],
            high_frequency_factor=rope["high_freq_factor"],
            original_positions=rope["original_max_position_embeddings"],
        )
    raise ValueError(f"rope_scaling: {kind!r} is not supported, only 'llama3' and 'linear' are")
