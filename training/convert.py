"""GGUF start weights to a full-precision Diffill checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffill.model.checkpoint import save_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.tokenizer import CONTROL_NAMES, NUM_CONTROL_IDS, Tokenizer

SUPPORTED = "llama"


def convert_gguf(source: Path, target: Path, *, name: str, seed: int = 0) -> None:
    """Dequantise `source` and write a checkpoint directory with tokenizer, config and fp32 weights.

    Raises:
        ValueError: not a readable GGUF file of a Llama-family model with a byte-level BPE and tied embeddings.
    """
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError:
        raise ValueError("source: reading GGUF needs an extra: pip install 'diffill[train]'") from None

    try:
        reader = GGUFReader(source)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ValueError(f"source: {source} is not a readable GGUF file: {error}") from None
    metadata = {key: field.contents() for key, field in reader.fields.items()}
    if metadata.get("general.architecture") != SUPPORTED or metadata.get("tokenizer.ggml.model") != "gpt2":
        raise ValueError(f"source: {source} is not a Llama-family model with a byte-level BPE")
    tensors = {
        tensor.name: torch.from_numpy(np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32))
        for tensor in reader.tensors
    }
    try:
        config = _config(metadata, name)
        weights = _rename(tensors, config)
    except KeyError as error:
        raise ValueError(f"source: {source} lacks {error}") from None
    if tensors:  # biases, or a head of its own: the network would not be the same without them
        raise ValueError(f"source: {source} has {sorted(tensors)[0]}, for which this network has no place")
    _initialise_control_rows(weights["embedding.weight"], torch.Generator().manual_seed(seed))
    merges = [tuple(merge.split(" ", 1)) for merge in metadata.get("tokenizer.ggml.merges", [])]
    tokenizer = Tokenizer.from_vocabulary(metadata["tokenizer.ggml.tokens"], merges)
    save_checkpoint(target, config=config, weights=weights, tokenizer=tokenizer, dtype=torch.float32)


def _config(metadata: dict[str, Any], name: str) -> ModelConfig:
    heads = metadata["llama.attention.head_count"]
    return ModelConfig(
        name=name,
        vocabulary_size=len(metadata["tokenizer.ggml.tokens"]),
        hidden_size=metadata["llama.embedding_length"],
        intermediate_size=metadata["llama.feed_forward_length"],
        num_layers=metadata["llama.block_count"],
        num_heads=heads,
        num_key_value_heads=metadata["llama.attention.head_count_kv"],
        head_size=metadata["llama.embedding_length"] // heads,
        rope_theta=metadata["llama.rope.freq_base"],
        norm_epsilon=float(np.format_float_positional(metadata["llama.attention.layer_norm_rms_epsilon"], precision=8)),
        max_positions=metadata["llama.context_length"],
    )


def _rename(tensors: dict[str, torch.Tensor], config: ModelConfig) -> dict[str, torch.Tensor]:
    """GGUF names to ours; q, k, v and gate, up are stacked, because one wide matrix product beats three narrow ones.

    What is used is taken out of `tensors`.
    """
    weights = {"embedding.weight": tensors.pop("token_embd.weight"), "norm.weight": tensors.pop("output_norm.weight")}
    for layer in range(config.num_layers):
        source, target = f"blk.{layer}.", f"layers.{layer}."
        query = _unpermute(tensors.pop(source + "attn_q.weight"), config.num_heads)
        key = _unpermute(tensors.pop(source + "attn_k.weight"), config.num_key_value_heads)
        weights |= {
            target + "attention_norm.weight": tensors.pop(source + "attn_norm.weight"),
            target + "qkv.weight": torch.cat([query, key, tensors.pop(source + "attn_v.weight")]),
            target + "attention_out.weight": tensors.pop(source + "attn_output.weight"),
            target + "mlp_norm.weight": tensors.pop(source + "ffn_norm.weight"),
            target + "gate_up.weight": torch.cat(
                [tensors.pop(source + "ffn_gate.weight"), tensors.pop(source + "ffn_up.weight")]
            ),
            target + "down.weight": tensors.pop(source + "ffn_down.weight"),
        }
    return weights


def _unpermute(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """GGUF interleaves the two halves that RoPE rotates together; we keep them apart, as transformers does."""
    rows, columns = weight.shape
    return weight.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns).contiguous()


def _initialise_control_rows(embedding: torch.Tensor, generator: torch.Generator) -> None:
    """Control tokens start at the mean embedding with a little noise: an untrained MASK row gives losses near 30."""
    mean = embedding[NUM_CONTROL_IDS:].mean(dim=0)
    noise = 0.1 * embedding[NUM_CONTROL_IDS:].std()
    for index in CONTROL_NAMES:
        embedding[index] = mean + noise * torch.randn(mean.shape, generator=generator)
