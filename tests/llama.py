"""Our weights in the independent Llama of `transformers`."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from diffill.model.config import ModelConfig


def as_llama(config: ModelConfig, weights: dict[str, Tensor]) -> LlamaForCausalLM:
    """The same network: stacked matrices split again, names translated."""
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config.vocabulary_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_size,
            rope_theta=config.rope_theta,
            rms_norm_eps=config.norm_epsilon,
            max_position_embeddings=config.max_positions,
            tie_word_embeddings=True,
        )
    )
    named = {
        "model.embed_tokens.weight": weights["embedding.weight"],
        "lm_head.weight": weights["embedding.weight"],
        "model.norm.weight": weights["norm.weight"],
    }
    key_value_size = config.num_key_value_heads * config.head_size
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        query, key, value = weights[ours + "qkv.weight"].split(
            [config.num_heads * config.head_size, key_value_size, key_value_size]
        )
        gate, up = weights[ours + "gate_up.weight"].chunk(2)
        named |= {
            theirs + "input_layernorm.weight": weights[ours + "attention_norm.weight"],
            theirs + "self_attn.q_proj.weight": query,
            theirs + "self_attn.k_proj.weight": key,
            theirs + "self_attn.v_proj.weight": value,
            theirs + "self_attn.o_proj.weight": weights[ours + "attention_out.weight"],
            theirs + "post_attention_layernorm.weight": weights[ours + "mlp_norm.weight"],
            theirs + "mlp.gate_proj.weight": gate,
            theirs + "mlp.up_proj.weight": up,
            theirs + "mlp.down_proj.weight": weights[ours + "down.weight"],
        }
    llama.load_state_dict(named)
    llama.eval().requires_grad_(False)
    return llama.to(torch.float32)
