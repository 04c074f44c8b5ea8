"""A Diffill checkpoint as a GGUF file: the same weights for llama.cpp, which the bench runs beside ours."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from diffill.model.checkpoint import dequantize, load_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.hugging_face.layout import is_hugging_face
from diffill.model.tokenizer import END_OF_MIDDLE, NUM_CONTROL_IDS, TOKENIZER_FILE


def export_gguf(checkpoint: Path, target: Path) -> None:
    """Write the matrices at 8 bits (Q8_0: a scale for 32 weights), the norms as float32.

    Raises:
        ValueError: the checkpoint is broken, or the package that writes GGUF is not installed; one line.
    """
    try:
        from gguf import GGMLQuantizationType, GGUFWriter, TokenType
        from gguf.quants import quantize
    except ImportError:
        raise ValueError("gguf: writing GGUF needs an extra: pip install 'diffill[bench]'") from None
    if is_hugging_face(checkpoint):
        raise ValueError(f"checkpoint: {checkpoint} is in Hugging Face layout, for which llama.cpp has a converter")
    config, stored = load_checkpoint(checkpoint)
    writer = GGUFWriter(target, "llama")
    writer.add_name(config.name)
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_size)
    writer.add_value_length(config.head_size)
    writer.add_rope_dimension_count(config.head_size)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    tokens, merges = _vocabulary(checkpoint)
    kinds = [TokenType.CONTROL if index < NUM_CONTROL_IDS else TokenType.NORMAL for index in range(len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_eos_token_id(END_OF_MIDDLE)
    writer.add_add_bos_token(False)
    for name, weight in _renamed(dequantize(stored), config).items():
        values = weight.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary(checkpoint: Path) -> tuple[list[str], list[str]]:
    """Tokens in the order of their ids, and merges in theirs."""
    model = json.loads((checkpoint / TOKENIZER_FILE).read_text("utf-8"))["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return tokens, [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]


def _renamed(weights: dict[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our names to GGUF's; what we stack is taken apart."""
    named = {"token_embd.weight": weights["embedding.weight"], "output_norm.weight": weights["norm.weight"]}
    key_start = config.num_heads * config.head_size
    value_start = key_start + config.num_key_value_heads * config.head_size
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}.", f"blk.{layer}."
        query, key, value = torch.tensor_split(weights[ours + "qkv.weight"], (key_start, value_start))
        gate, up = weights[ours + "gate_up.weight"].chunk(2)
        named |= {
            theirs + "attn_norm.weight": weights[ours + "attention_norm.weight"],
            theirs + "attn_q.weight": _permute(query, config.num_heads),
            theirs + "attn_k.weight": _permute(key, config.num_key_value_heads),
            theirs + "attn_v.weight": value,
            theirs + "attn_output.weight": weights[ours + "attention_out.weight"],
            theirs + "ffn_norm.weight": weights[ours + "mlp_norm.weight"],
            theirs + "ffn_gate.weight": gate,
            theirs + "ffn_up.weight": up,
            theirs + "ffn_down.weight": weights[ours + "down.weight"],
        }
    return named


def _permute(weight: Tensor, heads: int) -> Tensor:
    """The inverse of `convert._unpermute`: GGUF interleaves the two halves that RoPE rotates together."""
    rows, columns = weight.shape
    return weight.view(heads, 2, rows // heads // 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()
