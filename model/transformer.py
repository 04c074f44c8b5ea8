"""The network: a decoder as Llama and Qwen are. One set of weights serves the causal head and the denoising head.

Shapes: B batch, T tokens of this call, D hidden, H query heads, K key-value heads, E head size, V vocabulary.
Attention is handed in: training brings a mask, the engine a cache; this file knows neither.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import ModelConfig, RopeScaling

Attention = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer, query [B, H, T, E], key [B, K, T, E], value [B, K, T, E]) -> [B, H, T, E]; query and key come rotated."""


class RMSNorm(nn.Module):
    """Root-mean-square norm; the mean is taken in fp32 whatever the activations are."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:  # [..., D]
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.epsilon).to(x.dtype)


class Rotary(nn.Module):
    """Rotary position embedding in the half-split layout (arXiv 2104.09864)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_size, self.theta, self.scaling = config.head_size, config.rope_theta, config.rope_scaling

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:  # [B, T] -> 2 x [B, 1, T, E]
        exponent = torch.arange(0, self.head_size, 2, device=positions.device, dtype=torch.float32) / self.head_size
        frequency = self.theta**-exponent
        if self.scaling is not None:
            frequency = scaled(frequency, self.scaling)
        angle = positions[..., None].float() * frequency
        angle = torch.cat([angle, angle], dim=-1)[:, None]
        return angle.cos(), angle.sin()


def scaled(frequency: Tensor, scaling: RopeScaling) -> Tensor:  # [E / 2]
    """Frequencies divided by a factor; where a band is given, those above it stay and those within it are blended."""
    low, high, original = scaling.low_frequency_factor, scaling.high_frequency_factor, scaling.original_positions
    if low is None or high is None or original is None:
        return frequency / scaling.factor
    turns = original * frequency / (2 * pi)  # that a pair makes over the original context
    kept = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return kept * frequency + (1.0 - kept) * frequency / scaling.factor


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:  # [B, heads, T, E]
    first, second = x.chunk(2, dim=-1)
    return x * cosine.to(x.dtype) + torch.cat([-second, first], dim=-1) * sine.to(x.dtype)


class Layer(nn.Module):
    """Attention and gated MLP, each behind a norm and a residual."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads, self.key_value_heads = config.num_heads, config.num_key_value_heads
        self.head_size = config.head_size
        attention_size = self.heads * self.head_size
        key_value_size = self.key_value_heads * self.head_size
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_epsilon)
        self.qkv = nn.Linear(config.hidden_size, attention_size + 2 * key_value_size, bias=config.qkv_bias)
        self.query_norm = RMSNorm(self.head_size, config.norm_epsilon) if config.qk_norm else None
        self.key_norm = RMSNorm(self.head_size, config.norm_epsilon) if config.qk_norm else None
        self.attention_out = nn.Linear(attention_size, config.hidden_size, bias=False)
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_epsilon)
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, attention: Attention) -> Tensor:  # [B, T, D]
        batch, length, _ = x.shape
        heads = self.qkv(self.attention_norm(x)).view(batch, length, -1, self.head_size).transpose(1, 2)
        turning, value = heads[:, : -self.key_value_heads], heads[:, -self.key_value_heads :]
        if self.query_norm is not None and self.key_norm is not None:
            query, key = turning[:, : self.heads], turning[:, self.heads :]
            turning = torch.cat([self.query_norm(query), self.key_norm(key)], dim=1)
        rotated = rotate(turning, cosine, sine)
        query, key = rotated[:, : self.heads], rotated[:, self.heads :]
        attended = attention(self.index, query, key, value)
        x = x + self.attention_out(attended.transpose(1, 2).reshape(batch, length, -1))
        gate, up = self.gate_up(self.mlp_norm(x)).chunk(2, dim=-1)
        out: Tensor = x + self.down(F.silu(gate) * up)
        return out


class Transformer(nn.Module):
    """Token ids and positions to final hidden states; `logits` applies the head where it is wanted."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Weights always come from a checkpoint. Random ones, on the meta device as loading wants it, import torch's
        # compiler, sympy and Triton: 115 MB and half a second.
        size = config.vocabulary_size, config.hidden_size
        self.embedding = nn.Embedding(size[0], size[1], _weight=torch.empty(size))
        self.rotary = Rotary(config)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_epsilon)
        self.head = None if config.tied_head else nn.Linear(config.hidden_size, config.vocabulary_size, bias=False)

    def forward(self, tokens: Tensor, positions: Tensor, attention: Attention) -> Tensor:  # [B, T] -> [B, T, D]
        cosine, sine = self.rotary(positions)
        x = self.embedding(tokens)
        if torch.is_autocast_enabled(x.device.type):  # what flows past the layers is in the dtype of their products
            x = x.to(torch.get_autocast_dtype(x.device.type))
        for layer in self.layers:
            x = layer(x, cosine, sine, attention)
        hidden: Tensor = self.norm(x)
        return hidden

    @property
    def head_weight(self) -> Tensor:  # [V, D]
        return self.embedding.weight if self.head is None else self.head.weight

    def logits(self, hidden: Tensor) -> Tensor:  # [..., D] -> [..., V]
        logits: Tensor = F.linear(hidden, self.embedding.weight) if self.head is None else self.head(hidden)
        return logits


def masked_attention(mask: Tensor) -> Attention:
    """Attention under a dense boolean mask, written out: on CPU in bf16 the fused kernel is twice as slow under a mask.

    Args:
        mask: who may be seen.  # [B, 1, T, T]
    """

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, heads, length, size = query.shape
        groups = key.shape[1]
        grouped = query.reshape(batch, groups, -1, size)  # query heads that share a key head stand below one another
        scores = (grouped @ key.transpose(-1, -2)).view(batch, heads, length, -1) * size**-0.5
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1).to(value.dtype)
        attended: Tensor = weights.view(batch, groups, -1, weights.shape[-1]) @ value
        return attended.view(batch, heads, length, size)

    return attend


def causal_attention(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Plain causal attention over one document."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
