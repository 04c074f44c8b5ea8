"""Our weights in the independent Llama of `transformers`: a baseline of `diffill bench`, and of tests of forward."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from diffill.model.checkpoint import dequantize
from diffill.model.config import ModelConfig
from diffill.model.request import DecodeRequest, unpack_ids
from diffill.model.tokenizer import END_OF_MIDDLE

from .report import Sample
from .throughput import Contender

LOOKUP_TOKENS = 10
"""Drafts of assisted decoding, looked up in the prompt: there is no smaller model of this family to ask."""


def as_llama(config: ModelConfig, weights: dict[str, Tensor]) -> Any:
    """The same network in fp32, on the CPU: stacked matrices split again, names translated."""
    made: Any = LlamaForCausalLM  # hardly typed
    llama = made(_llama_config(config))
    named = {
        "model.embed_tokens.weight": weights["embedding.weight"],
        "lm_head.weight": weights["embedding.weight"],
        "model.norm.weight": weights["norm.weight"],
    }
    key_value_size = config.num_key_value_heads * config.head_size
    for layer in range(config.num_layers):
        ours, theirs = f"layers.{layer}.", f"model.layers.{layer}."
        sizes = [config.num_heads * config.head_size, key_value_size, key_value_size]
        query, key, value = torch.split(weights[ours + "qkv.weight"], sizes)
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


class TransformersLlama:
    """Greedy decoding by `generate`, as it comes."""

    def __init__(self, llama: Any, device: torch.device) -> None:
        self._llama, self._device = llama, device

    @property
    def contenders(self) -> Mapping[str, Contender]:
        return {"transformers": self.answer, "transformers assisted": self.answer_assisted}

    def answer(self, request: DecodeRequest) -> Sample:
        """Token by token."""
        return self._timed(request)

    def answer_assisted(self, request: DecodeRequest) -> Sample:
        """With drafts from the prompt."""
        return self._timed(request, prompt_lookup_num_tokens=LOOKUP_TOKENS)

    def _timed(self, request: DecodeRequest, **options: Any) -> Sample:
        """The prompt is timed too, by an answer of one token, and taken off."""
        prompt = torch.tensor([unpack_ids(request.prompt)], device=self._device)
        _, first_ms = self._generate(prompt, 1)
        found, total_ms = self._generate(prompt, request.max_tokens, **options)
        tokens = found.shape[1] - prompt.shape[1] - 1
        milliseconds = max(total_ms - first_ms, 1e-3)
        return Sample(tokens=tokens, forward_passes=tokens, steps=tokens, decode_ms=milliseconds, total_ms=milliseconds)

    @torch.inference_mode()
    def _generate(self, prompt: Tensor, count: int, **options: Any) -> tuple[Tensor, float]:
        began = time.perf_counter()
        found: Tensor = self._llama.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=END_OF_MIDDLE,
            pad_token_id=END_OF_MIDDLE,
            **options,
        )
        found = found.cpu()  # waits for the device
        return found, 1e3 * (time.perf_counter() - began)


def transformers_llama(config: ModelConfig, tensors: dict[str, Tensor], device: torch.device) -> TransformersLlama:
    """The baseline on a device: bf16 on an accelerator, as our plain network.

    Args:
        tensors: as a checkpoint stores them.
    """
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    return TransformersLlama(as_llama(config, dequantize(tensors)).to(device, dtype), device)


def _llama_config(config: ModelConfig) -> Any:
    made: Any = LlamaConfig
    return made(
        vocab_size=config.vocabulary_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_size,
        rope_theta=config.rope_theta,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},  # how version 5 spells it
        rms_norm_eps=config.norm_epsilon,
        max_position_embeddings=config.max_positions,
        tie_word_embeddings=True,
    )
