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

    def __init__(
        self, weight: Tensor, scale: Tensor, bias: Tensor | None = None, *, packed: bool | None = None
    ) -> None:
        """
        Args:
            weight: int8 rows.  # [N, K]
            scale: one a row.  # fp32 [N]
            bias: added to the product.  # fp32 [N]
            packed: force the packed kernel on or off; by default it runs where the CPU has VNNI.
        """
        super().__init__()
        self.scale, self.bias = scale.contiguous(), bias
        self.packed = has_vnni() if packed is None else packed
        if self.packed:
            self.weight = torch.ops.onednn.qlinear_prepack(weight, None)
            self.zero_points = torch.zeros(weight.shape[0], dtype=torch.int32)
        else:
            self.weight = weight.contiguous()

    def forward(self, x: Tensor) -> Tensor:  # [..., K] -> [..., N]
        rows = x.reshape(-1, x.shape[-1])
        out = self._product(rows) if self.packed else plain_int8_linear(rows, self.weight, self.scale)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)

    def _product(self, rows: Tensor) -> Tensor:  # [T, K] -> [T, N]
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
        scaled: Tensor = product.mul_(scale)
        return scaled


class Int8Embedding(nn.Module):
    """The embedding as int8 rows."""

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.rows, self.scale = weight, scale

    def forward(self, tokens: Tensor) -> Tensor:  # [...] -> [..., D]
        return F.embedding(tokens, self.rows).float() * self.scale[tokens][..., None]


def load_int8(model: Transformer, tensors: dict[str, Tensor]) -> None:
    """Replace the linears and the embedding of `model` by int8 ones; what is stored in floating point stays so."""
    matrices = [name for name in tensors if name + SCALE_SUFFIX in tensors]
    rest = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith(SCALE_SUFFIX)}
    for name in matrices:
        path, rows = name.removesuffix(".weight"), (tensors[name], tensors[name + SCALE_SUFFIX])
        del rest[name]
        if path == "embedding":
            _replace(model, path, Int8Embedding(*rows))
            if model.config.tied_head:
                _replace(model, "head", Int8Linear(*rows))
        else:
            _replace(model, path, Int8Linear(*rows, rest.pop(path + ".bias", None)))
    model.load_state_dict(rest, assign=True)


def _replace(model: Transformer, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)
