"""An adapter: two small factors for each linear layer, checked against the base and merged into its weights.

Merged, the network is as fast as the base and runs through the same code; strict `verify` stays equal to `ar`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from .adapter_manifest import Base, Manifest, read_manifest, tokenizer_hash
from .checkpoint import SCALE_SUFFIX, checkpoint_hash
from .config import ModelConfig

LINEARS = ("qkv", "attention_out", "gate_up", "down")
"""Every linear layer of a transformer layer. The head is the embedding and stays as it is."""
A, B = ".lora_a", ".lora_b"


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Factors by the name of their layer, with `A` or `B` behind it.  # fp32 A [R, K], B [N, R]"""

    manifest: Manifest
    factors: dict[str, Tensor]

    @property
    def identity(self) -> str:
        """Name and hash, as results and status show it."""
        return f"{self.manifest.name} {self.manifest.factors.sha256[:12]}"

    def change(self, module: str) -> Tensor | None:
        """What is added to the weight of a linear layer.  # fp32 [N, K]"""
        if module + A not in self.factors:
            return None
        scale = self.manifest.factors.alpha / self.manifest.factors.rank
        # In fp64 the number of threads does not show: whoever merges it gets the same weights.
        product = self.factors[module + B].double() @ self.factors[module + A].double()
        return product.mul_(scale).float()


def base_of(checkpoint: Path) -> Base:
    """What an adapter for this checkpoint names as its base.

    Raises:
        ValueError: it is no checkpoint.
    """
    return Base(
        name=ModelConfig.load(checkpoint).name,
        hash=checkpoint_hash(checkpoint),
        tokenizer_sha256=tokenizer_hash(checkpoint),
    )


def load_adapter(directory: Path, *, base: Path) -> Adapter:
    """Read an adapter and see that it is whole and belongs to the checkpoint `base`.

    Raises:
        ValueError: anything missing, altered or not finite, or made for another base or tokenizer; one line.
    """
    manifest = read_manifest(directory)
    wanted, found = manifest.base, base_of(base)
    if wanted.hash != found.hash:
        raise ValueError(
            f"adapter: {directory} was made for {wanted.name} {wanted.hash}; {base} is {found.name} {found.hash}"
        )
    if wanted.tokenizer_sha256 != found.tokenizer_sha256:
        raise ValueError(f"adapter: {directory} was made with another tokenizer than that of {base}")
    path = directory / manifest.factors.file
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"adapter: cannot read {path}: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != manifest.factors.sha256:
        raise ValueError(f"adapter: {path} is truncated or altered (its sha256 is not the listed one)")
    try:
        factors = load(data)
    except SafetensorError as error:
        raise ValueError(f"adapter: {path} is not a safetensors file: {error}") from None
    _check(path, factors, ModelConfig.load(base), manifest)
    return Adapter(manifest=manifest, factors=factors)


@torch.no_grad()  # not inference mode: a network's parameters are made of what comes out
def merge(tensors: dict[str, Tensor], adapter: Adapter) -> None:
    """Add an adapter to the weights of a checkpoint, in the form in which they are stored.

    Int8 weights stand on the grid of their row. To the nearest point of it, a change below half a step is lost, and
    most are that small; rounded up or down at random with the matching probability, it is kept in the mean over the
    inputs. The draw is seeded and the layers have an order: the same adapter makes the same weights.
    """
    generator = torch.Generator().manual_seed(0)
    for name in sorted(name for name in tensors if not name.endswith(SCALE_SUFFIX)):  # a file lists them in any
        change = adapter.change(name.removesuffix(".weight"))
        if change is None:
            continue
        if tensors[name].dtype != torch.int8:
            tensors[name] = tensors[name].float() + change
            continue
        before = tensors[name + SCALE_SUFFIX]
        largest = (tensors[name].float() * before[:, None] + change).abs().amax(dim=1)
        scale = torch.where(largest > before * 127.01, largest / 127.0, before)
        # On the grid itself, so that what is not changed stays what it is to the bit.
        weight = tensors[name].float() * (before / scale)[:, None] + change / scale[:, None]
        noise = torch.rand(weight.shape, generator=generator)
        low = weight.floor()
        tensors[name] = (low + (noise < weight - low)).clamp_(-127, 127).to(torch.int8)  # whole numbers stay
        tensors[name + SCALE_SUFFIX] = scale


def _check(path: Path, factors: dict[str, Tensor], config: ModelConfig, manifest: Manifest) -> None:
    """Factors of every layer that the manifest names, of the right shape and finite, and nothing else."""
    shapes = linear_shapes(config)
    rank = manifest.factors.rank
    wanted: dict[str, tuple[int, int]] = {}
    for name, (rows, columns) in shapes.items():
        if name.rsplit(".", 1)[-1] in manifest.factors.modules:
            wanted |= {name + A: (rank, columns), name + B: (rows, rank)}
    found = {name: tuple(tensor.shape) for name, tensor in factors.items()}
    if wanted != found:
        name = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise ValueError(
            f"adapter: {path}: {name} is {found.get(name, 'missing')}, the base needs {wanted.get(name, 'nothing')}"
        )
    for name, tensor in factors.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise ValueError(f"adapter: {path}: {name} is not finite float32")


def linear_shapes(config: ModelConfig) -> dict[str, tuple[int, int]]:
    """Rows and columns of every linear layer, by its name in the network."""
    attended = config.num_heads * config.head_size
    qkv = attended + 2 * config.num_key_value_heads * config.head_size
    of_layer = {
        "qkv": (qkv, config.hidden_size),
        "attention_out": (config.hidden_size, attended),
        "gate_up": (2 * config.intermediate_size, config.hidden_size),
        "down": (config.hidden_size, config.intermediate_size),
    }
    return {f"layers.{layer}.{name}": shape for layer in range(config.num_layers) for name, shape in of_layer.items()}
