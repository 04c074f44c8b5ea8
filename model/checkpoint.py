"""A checkpoint directory: `config.json`, `tokenizer.json`, safetensors shards and `weights.json` that lists them.

Weights are fp32, bf16, or int8 rows with one fp32 scale each (`NAME` and `NAME.scale`). Each shard's sha256 is listed,
so a truncated or altered shard is named instead of loaded. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .config import CONFIG_FILE, ModelConfig
from .hugging_face.layout import is_hugging_face
from .hugging_face.weights import read_weights, weights_hash
from .tokenizer import Tokenizer

WEIGHTS_FILE = "weights.json"
SHARD_BYTES = 40_000_000  # hosting services and reviews dislike files near 50 MB
SCALE_SUFFIX = ".scale"


def quantize_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric int8 with one scale a row.  # [N, K] -> int8 [N, K], fp32 [N]"""
    scale = weight.abs().amax(dim=1).clamp_min(1e-12) / 127.0
    return (weight / scale[:, None]).round().to(torch.int8), scale


def save_checkpoint(
    directory: Path, *, config: ModelConfig, weights: dict[str, Tensor], tokenizer: Tokenizer, dtype: torch.dtype
) -> None:
    """Write a checkpoint beside `directory` and rename it into place; other files already there (cards) are kept.

    Args:
        dtype: float32 or bfloat16 for every weight, or int8 for the matrices (norms stay fp32).

    Raises:
        ValueError: a weight is not finite.
    """
    stored: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise ValueError(f"weights: {name} holds a value that is not finite; nothing was written")
        if dtype == torch.int8 and weight.dim() == 2:
            stored[name], stored[name + SCALE_SUFFIX] = quantize_rows(weight.float())
        else:
            stored[name] = weight.to(torch.float32 if dtype == torch.int8 else dtype).contiguous()
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        shards = {}
        for index, part in enumerate(_parts(stored), start=1):
            data = save(part)
            digest = hashlib.sha256(data).hexdigest()
            # Named by content, so that the old shards stay whole until the list of shards points at the new ones.
            path = beside / f"weights-{index:02d}-{digest[:8]}.safetensors"
            path.write_bytes(data)
            shards[path.name] = {"sha256": digest, "bytes": len(data)}
        (beside / WEIGHTS_FILE).write_text(json.dumps({"shards": shards}, indent=2) + "\n", "utf-8")
        (beside / CONFIG_FILE).write_text(config.to_json(), "utf-8")
        tokenizer.save(beside)
        _replace(directory, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def load_checkpoint(
    directory: Path, *, on_progress: Callable[[float], None] = lambda share: None
) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Configuration and tensors as stored (int8 rows keep their scales), ours or in Hugging Face layout.

    Raises:
        ValueError: anything missing, truncated, altered or not finite; one line that names the file.
    """
    config = ModelConfig.load(directory)
    if is_hugging_face(directory):
        return config, dict(read_weights(directory, config, on_progress=on_progress))
    shards = _shards(directory)
    tensors: dict[str, Tensor] = {}
    for done, (name, digest) in enumerate(shards.items(), start=1):
        try:
            data = (directory / name).read_bytes()
        except OSError as error:
            raise ValueError(f"checkpoint: cannot read {directory / name}: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise ValueError(
                f"checkpoint: {directory / name} is truncated or altered (its sha256 is not the listed one)"
            )
        try:
            part = load(data)
        except SafetensorError as error:
            raise ValueError(f"checkpoint: {directory / name} is not a safetensors file: {error}") from None
        _check_values(directory / name, part)
        if repeated := tensors.keys() & part.keys():
            raise ValueError(f"checkpoint: {directory / name} repeats the tensor {sorted(repeated)[0]}")
        tensors |= part
        on_progress(done / len(shards))
    _check_scales(directory, tensors)
    return config, tensors


def verify(directory: Path) -> None:
    """Check a checkpoint without building the network. Raises ValueError with one line."""
    if is_hugging_face(directory):
        for _ in read_weights(directory, ModelConfig.load(directory)):  # one at a time: all may not fit into memory
            pass
    else:
        load_checkpoint(directory)
    Tokenizer.load(directory)


def checkpoint_hash(directory: Path) -> str:
    """First 12 hexadecimal digits of the sha256 over the shards' listed sha256: the model's identity."""
    if is_hugging_face(directory):
        return weights_hash(directory)[:12]
    return hashlib.sha256("".join(_shards(directory).values()).encode()).hexdigest()[:12]


def dequantize(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """All weights in floating point; int8 rows are multiplied by their scales."""
    return {
        name: tensor.float() * tensors[name + SCALE_SUFFIX][:, None] if tensor.dtype == torch.int8 else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE_SUFFIX)
    }


def is_int8(tensors: dict[str, Tensor]) -> bool:
    """Whether every matrix is stored as int8 rows."""
    return all(name + SCALE_SUFFIX in tensors for name, tensor in tensors.items() if tensor.dim() == 2)


def _shards(directory: Path) -> dict[str, str]:
    path = directory / WEIGHTS_FILE
    try:
        listed = json.loads(path.read_text("utf-8"))["shards"]
        shards = {str(name): str(entry["sha256"]) for name, entry in listed.items()}
    except OSError as error:
        raise ValueError(f"checkpoint: cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"checkpoint: {path} is not a list of shards") from None
    for name in shards:
        if name in ("", "..") or Path(name).name != name:
            raise ValueError(f"checkpoint: {path} names a shard outside its directory: {name!r}")
    return shards


def _check_values(path: Path, part: dict[str, Tensor]) -> None:
    for name, tensor in part.items():
        if tensor.dtype not in (torch.float32, torch.bfloat16, torch.int8):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"checkpoint: {path} holds {name} as {kind}, which is not float32, bfloat16 or int8")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"checkpoint: {path} holds a value in {name} that is not finite")


def _check_scales(directory: Path, tensors: dict[str, Tensor]) -> None:
    """Every int8 matrix has one fp32 scale a row, and there is no other scale."""
    wanted = {name + SCALE_SUFFIX: tensor.shape[:1] for name, tensor in tensors.items() if tensor.dtype == torch.int8}
    found = {
        name: tensor.shape if tensor.dtype == torch.float32 else None
        for name, tensor in tensors.items()
        if name.endswith(SCALE_SUFFIX)
    }
    for name in sorted(wanted.keys() | found.keys()):
        if name not in wanted or name not in found or wanted[name] != found[name]:
            raise ValueError(f"checkpoint: {directory}: {name} is not one float32 for each row of an int8 matrix")


def _parts(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Tensors in order, cut into shards of at most `SHARD_BYTES` (one tensor may exceed it alone)."""
    part: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if part and size + tensor.nbytes > SHARD_BYTES:
            yield part
            part, size = {}, 0
        part[name] = tensor
        size += tensor.nbytes
    if part:
        yield part


def _replace(directory: Path, beside: Path) -> None:
    """Move the files of `beside` into `directory`, the list of shards last, and drop shards it no longer names."""
    directory.mkdir(exist_ok=True)
    kept = {path.name for path in beside.iterdir()}
    for path in sorted(beside.iterdir(), key=lambda path: path.name == WEIGHTS_FILE):
        path.replace(directory / path.name)
    for stale in directory.glob("weights-*.safetensors"):
        if stale.name not in kept:
            stale.unlink()
