"""int8 linears: the packed kernel and its plain twin, and what per-token scales promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from diffill.model.checkpoint import SCALE_SUFFIX, quantize_rows
from diffill.model.quantize import (
    ZERO_POINT,
    Int8Linear,
    has_vnni,
    load_int8,
    plain_int8_linear,
    quantize_tokens,
)
from diffill.model.transformer import Transformer
from tests.tiny import tiny_config, tiny_weights

needs_vnni = pytest.mark.skipif(not has_vnni(), reason="the packed kernel needs a CPU with VNNI")
# Rows, width in, width out: of the shipped model (576, 1536, 960) and odd ones.
SHAPES = [(1, 576, 960), (5, 1536, 576), (20, 576, 3072), (3, 7, 5), (128, 64, 33), (1, 1, 1)]
KERNELS = [pytest.param(True, marks=needs_vnni, id="packed"), pytest.param(False, id="plain")]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(rows: int, columns: int, *, packed: bool, seed: int = 0) -> tuple[Int8Linear, Tensor]:
    """An int8 layer, and the weight that it stands for."""
    weight, scale = quantize_rows(random(rows, columns, seed=seed))
    return Int8Linear(weight, scale, packed=packed), weight.float() * scale[:, None]


@needs_vnni
@pytest.mark.parametrize(("tokens", "inputs", "outputs"), SHAPES)
@pytest.mark.parametrize("kind", ["random", "largest", "one large", "zero rows"])
def test_packed_kernel_equals_its_twin_bit_for_bit(tokens: int, inputs: int, outputs: int, kind: str) -> None:
    weight, scale = quantize_rows(random(outputs, inputs))
    x = random(tokens, inputs, seed=1)
    if kind == "largest":  # sums near the largest possible, past what fp32 counts exactly
        weight, x = torch.full_like(weight, 127), x.sign()
        x[0] = 1.0
    elif kind == "one large":
        x[:, 0] = 3e4
    elif kind == "zero rows":
        x[::2] = 0.0
    packed = Int8Linear(weight, scale, packed=True)(x)
    assert torch.equal(packed, plain_int8_linear(x, weight, scale))


@pytest.mark.parametrize("packed", KERNELS)
def test_a_token_does_not_depend_on_its_neighbours(packed: bool) -> None:
    layer, _ = linear(96, 64, packed=packed)
    x = random(9, 64, seed=2)
    x[4] *= 1e4  # one scale for all would drown the others
    together = layer(x)
    for index in range(9):
        assert torch.equal(layer(x[index : index + 1])[0], together[index])
    assert torch.equal(layer(x.flip(0)).flip(0), together)


@pytest.mark.parametrize("packed", KERNELS)
def test_error_against_floating_point_is_bounded(packed: bool) -> None:
    layer, weight = linear(96, 64, packed=packed)
    x = random(50, 64, seed=3)
    exact = x @ weight.t()
    # Each input is off by at most half a step of its row's scale.
    bound = 0.5 * x.abs().amax(dim=1, keepdim=True) / 127 * weight.abs().sum(dim=1) * 1.001
    error = (layer(x) - exact).abs()
    assert (error <= bound).all()
    assert 0 < float(error.mean() / exact.abs().mean()) < 0.02


@pytest.mark.parametrize("packed", KERNELS)
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e-6, 1e30])
def test_rows_of_one_value(packed: bool, value: float) -> None:
    layer, weight = linear(5, 7, packed=packed)
    out = layer(torch.full((2, 7), value))
    assert torch.isfinite(out).all()
    if value in (0.0, 1e-30):  # below the smallest scale: nothing
        assert torch.equal(out, torch.zeros(2, 5))
    else:
        torch.testing.assert_close(out / value, weight.sum(dim=1).expand(2, -1), rtol=1e-4, atol=1e-4)


def test_activations_round_to_nearest_around_the_zero_point() -> None:
    x = torch.tensor([[-127.0, -1.4, -0.6, 0.0, 0.4, 0.6, 127.0], [0.0] * 7])
    quantized, scale = quantize_tokens(x)
    assert quantized[0].tolist() == [1, 127, 127, 128, 128, 129, 255]
    assert quantized[1].tolist() == [ZERO_POINT] * 7
    assert scale[0].item() == pytest.approx(1.0)


def test_shape_in_front_is_kept() -> None:
    layer, _ = linear(5, 7, packed=False)
    x = random(2, 3, 7)
    assert layer(x).shape == (2, 3, 5)
    assert torch.equal(layer(x)[1, 2], layer(x[1, 2][None])[0])


def test_rows_of_weights_round_to_nearest() -> None:
    weight = random(40, 64)
    weight[3] = 0.0
    quantized, scale = quantize_rows(weight)
    assert quantized.dtype == torch.int8
    assert quantized.abs().amax(dim=1).tolist() == [0 if row == 3 else 127 for row in range(40)]
    assert ((quantized.float() * scale[:, None] - weight).abs() <= 0.501 * scale[:, None]).all()


def test_tied_embedding_looks_up_and_scores_with_the_same_rows() -> None:
    config = tiny_config()
    stored = tiny_weights(config)
    rows, scale = quantize_rows(stored["embedding.weight"])
    with torch.device("meta"):
        model = Transformer(config)
    load_int8(model, stored | {"embedding.weight": rows, "embedding.weight" + SCALE_SUFFIX: scale})
    wanted = rows.float() * scale[:, None]
    tokens = torch.tensor([[3, 19], [0, 3]])
    assert torch.equal(model.embedding(tokens), wanted[tokens])
    states = random(4, 64, seed=5)
    scores = model.logits(states)
    assert float((scores - states @ wanted.t()).norm() / scores.norm()) < 0.02


def test_every_matrix_is_replaced() -> None:
    config = tiny_config()
    stored: dict[str, Tensor] = {}
    for name, weight in tiny_weights(config).items():
        if weight.dim() == 2:
            stored[name], stored[name + SCALE_SUFFIX] = quantize_rows(weight)
        else:
            stored[name] = weight
    with torch.device("meta"):
        model = Transformer(config)
    load_int8(model, stored)
    int8 = [module for module in model.modules() if isinstance(module, Int8Linear)]
    assert len(int8) == 4 * config.num_layers + 1  # four in each layer, and the head
    assert not [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert all(not parameter.is_meta for parameter in model.parameters())


def test_a_matrix_may_stay_in_floating_point() -> None:
    config = tiny_config()
    stored = tiny_weights(config)
    rows, scale = quantize_rows(stored["layers.0.down.weight"])
    mixed = stored | {"layers.0.down.weight": rows, "layers.0.down.weight" + SCALE_SUFFIX: scale}
    with torch.device("meta"):
        model = Transformer(config)
    load_int8(model, mixed)
    assert isinstance(model.layers[0].down, Int8Linear)
    assert torch.equal(model.layers[1].down.weight, stored["layers.1.down.weight"])
    assert torch.equal(model.embedding.weight, stored["embedding.weight"])
