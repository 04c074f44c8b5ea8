"""int8 linears for the CPU: int8 rows, activations quantised per token, sums exact in int32.

Per token matters: with one scale for the whole step a token's result would depend on its neighbours, and a checked
draft could differ from plain decoding. Here a row's result is the same bit for bit whatever else is in the step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import SCALE_SUFFIX
from .transformer import Transformer

ZERO_POINT = 128  # activations travel as uint8, the form that VNNI multiplies with int8


def has_vnni() -> bool:
    """Whether the CPU multiplies bytes without saturating and torch brings the packed kernel."""
    supported = getattr(torch.cpu, "_is_vnni_supported", lambda: False)()
    return bool(supported) and hasattr(torch.ops.onednn, "qlinear_prepack")


def quantize_tokens(x: Tensor) -> tuple[Tensor, Tensor]:
    """Symmetric quantisation of each row.  # [T, K] -> uint8 [T, K] around ZERO_POINT, fp32 [T, 1]"""
    scale = x.abs().amax(dim=1, keepdim=True).mul_(1 / 127.0).clamp_min_(1e-12)
    return (x / scale).add_(ZERO_POINT + 0.5).to(torch.uint8), scale


def plain_int8_linear(x: Tensor, weight: Tensor, weight_scale: Tensor) -> Tensor:
    """The twin that runs on every CPU and that the packed kernel must equal.  # [T, K], [N, K], [N] -> [T, N]"""
    activation, scale = quantize_tokens(x)
    signed = (activation.to(torch.int16) - ZERO_POINT).to(torch.int8)
    return torch._int_mm(signed, weight.t()).float().mul_(weight_scale).mul_(scale)


class Int8Linear(nn.Module):
    """A linear layer over int8 rows."""

    def __init__(self, weight: Tensor, scale: Tensor, *, packed: bool | None = None) -> None:
        """
        Args:
            weight: int8 rows.  # [N, K]
            scale: one a row.  # fp32 [N]
            packed: force the packed kernel on or off; by default it runs where the CPU has VNNI.
        """
        super().__init__()
        self.scale = scale.contiguous()
        self.packed = has_vnni() if packed is None else packed
        if self.packed:
            self.weight = torch.ops.onednn.qlinear_prepack(weight, None)
            self.zero_points = torch.zeros(weight.shape[0], dtype=torch.int32)
        else:
            self.weight = weight.contiguous()

    def forward(self, x: Tensor) -> Tensor:  # [..., K] -> [..., N]
        rows = x.reshape(-1, x.shape[-1])
        if not self.packed:
            return plain_int8_linear(rows, self.weight, self.scale).view(*x.shape[:-1], -1)
        activation, scale = quantize_tokens(rows)
        product = torch.ops.onednn.qlinear_pointwise(
            activation,
            1.0,
            ZERO_POINT,
            self.weight,
            self.scale,
            self.zero_points,
            None,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        out: Tensor = product.mul_(scale)
        return out.view(*x.shape[:-1], -1)


class Int8Embedding(nn.Module):
    """The tied embedding as int8 rows: a look-up on the way in, the head on the way out."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.rows, self.scale = weight, scale
        self.head = Int8Linear(weight, scale)

    def forward(self, tokens: Tensor) -> Tensor:  # [...] -> [..., D]
        return F.embedding(tokens, self.rows).float() * self.scale[tokens][..., None]


def load_int8(model: Transformer, tensors: dict[str, Tensor]) -> None:
    """Replace the linears and the embedding of `model` by int8 ones; what is stored in floating point stays so."""
    matrices = [name for name in tensors if name + SCALE_SUFFIX in tensors]
    for name in matrices:
        path = name.removesuffix(".weight")
        made = Int8Embedding if path == "embedding" else Int8Linear
        parent = model.get_submodule(path.rpartition(".")[0])
        setattr(parent, path.rpartition(".")[2], made(tensors[name], tensors[name + SCALE_SUFFIX]))
    names = {*matrices, *(name + SCALE_SUFFIX for name in matrices)}
    rest = {name: tensor.float() for name, tensor in tensors.items() if name not in names}
    model.load_state_dict(rest, assign=True)
