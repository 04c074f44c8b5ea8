"""Tensors of a checkpoint in Hugging Face layout, by our names: stacked as our layers hold them, rows in our order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..config import ModelConfig
from ..tokenizer import NUM_CONTROL_IDS
from .layout import weight_files
from .vocabulary import read_vocabulary

HASH_PIECE = 1 << 24
STACKED = {
    "attention_norm.weight": ("input_layernorm.weight",),
    "qkv.weight": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "qkv.bias": ("self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"),
    "query_norm.weight": ("self_attn.q_norm.weight",),
    "key_norm.weight": ("self_attn.k_norm.weight",),
    "attention_out.weight": ("self_attn.o_proj.weight",),
    "mlp_norm.weight": ("post_attention_layernorm.weight",),
    "gate_up.weight": ("mlp.gate_proj.weight", "mlp.up_proj.weight"),
    "down.weight": ("mlp.down_proj.weight",),
}
"""Of a layer: our name, and theirs one below the other."""


def read_weights(
    directory: Path, config: ModelConfig, *, on_progress: Callable[[float], None] = lambda share: None
) -> Iterator[tuple[str, Tensor]]:
    """One tensor after the other, in the dtype in which it is stored, so that no more than one need be held twice.

    Raises:
        ValueError: a file is missing or damaged, or a tensor is missing, of another dtype or not finite; one line.
    """
    names = _names(config)
    with ExitStack() as opened:
        files: dict[str, tuple[Path, Any]] = {}
        for name in weight_files(directory):
            file = opened.enter_context(_opened(directory / name))
            files |= dict.fromkeys(file.keys(), (directory / name, file))
        for done, (ours, theirs) in enumerate(names.items(), start=1):
            parts = []
            for name in theirs:
                if name not in files:
                    raise ValueError(f"checkpoint: {directory}: no file holds {name}")
                path, file = files[name]
                parts.append(_checked(path, name, file.get_tensor(name)))
            weight = torch.cat(parts) if len(parts) > 1 else parts[0]
            yield ours, _with_control_rows(directory, weight) if ours in ("embedding.weight", "head.weight") else weight
            on_progress(done / len(names))


def weights_hash(directory: Path) -> str:
    """Sha256 over the files' own sha256, in the order of their names; about a second for each gigabyte or two."""
    digests = []
    for name in weight_files(directory):
        digest = hashlib.sha256()
        try:
            with (directory / name).open("rb") as file:
                while piece := file.read(HASH_PIECE):
                    digest.update(piece)
        except OSError as error:
            raise ValueError(f"checkpoint: cannot read {directory / name}: {error.strerror}") from None
        digests.append(digest.hexdigest())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _names(config: ModelConfig) -> dict[str, tuple[str, ...]]:
    """Every tensor of ours, and theirs that it is made of."""
    absent = {"qkv.bias"} if not config.qkv_bias else set()
    absent |= {"query_norm.weight", "key_norm.weight"} if not config.qk_norm else set()
    names: dict[str, tuple[str, ...]] = {"embedding.weight": ("model.embed_tokens.weight",)}
    for layer in range(config.num_layers):
        for ours, theirs in STACKED.items():
            if ours not in absent:
                names[f"layers.{layer}.{ours}"] = tuple(f"model.layers.{layer}.{name}" for name in theirs)
    names["norm.weight"] = ("model.norm.weight",)
    return names if config.tied_head else {**names, "head.weight": ("lm_head.weight",)}


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except FileNotFoundError:
        raise ValueError(f"checkpoint: cannot read {path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"checkpoint: {path} is not a whole safetensors file: {error}") from None


def _checked(path: Path, name: str, tensor: Tensor) -> Tensor:
    if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ValueError(f"checkpoint: {path} holds {name} as {kind}, which is not float32, bfloat16 or float16")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"checkpoint: {path} holds a value in {name} that is not finite")
    return tensor


def _with_control_rows(directory: Path, rows: Tensor) -> Tensor:
    """Rows in our order; those of control ids that play no part are zero.  # [V theirs, D] -> [V ours, D]"""
    vocabulary = read_vocabulary(directory)
    kept = vocabulary.size - NUM_CONTROL_IDS  # theirs may be padded
    if rows.dim() != 2 or len(rows) < kept:
        raise ValueError(f"checkpoint: {directory}: tokenizer.json has {kept} ids, the weights {len(rows)} rows")
    control = rows.new_zeros(NUM_CONTROL_IDS, rows.shape[1])
    for ours, theirs in vocabulary.rows.items():
        control[ours] = rows[theirs]
    return torch.cat([control, rows[:kept]])
