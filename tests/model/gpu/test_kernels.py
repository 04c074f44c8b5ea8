"""Every kernel against its plain twin, and bit for bit the same for a row in any company."""

from __future__ import annotations

from math import inf, nan

import pytest
import torch
from torch import Tensor

from diffill.model.checkpoint import quantize_rows
from diffill.model.gpu.attention import STRETCH_PAGES, Partial, Tiles, attend, plain_attend, tile_tokens
from diffill.model.gpu.decide import TOLD, decide, parts_of, plain_decide
from diffill.model.gpu.linear import Tiling, Weight, as_weight, linear, plain_linear, tiling_of
from diffill.model.gpu.norm import embed, plain_embed, plain_residual_norm, residual_norm
from diffill.model.gpu.rotary import plain_rotate_and_write, rotate_and_write

pytestmark = pytest.mark.filterwarnings(
    "ignore:invalid value:RuntimeWarning"
)  # of the interpreter: what is masked away
BFLOAT16_STEP = 2.0**-8


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weight_of(columns: int, depth: int, *, quantized: bool, device: torch.device) -> Weight:
    values = randn(columns, depth, seed=1)
    tensor, scale = quantize_rows(values) if quantized else (values, None)
    return as_weight(tensor, scale, device)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted.float()).norm() / wanted.float().norm())


def poisoned(*shape: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """What is not written shows."""
    return torch.full(shape, nan, device=device, dtype=dtype)


def run_linear(x: Tensor, weight: Weight, tiling: Tiling, *, gated: bool = False) -> Tensor:
    columns = len(weight.rows) // (2 if gated else 1)
    dtype = torch.bfloat16 if gated else torch.float32
    out = poisoned(tiling.splits, len(x), columns, device=x.device, dtype=dtype)
    linear(x, weight, out, tiling, gated=gated)
    return out


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("tiling", [Tiling(16, 64), Tiling(32, 32, 3)])
@pytest.mark.parametrize("rows", [1, 16, 21])
def test_linear(rows: int, tiling: Tiling, quantized: bool, device: torch.device) -> None:
    """Sizes that are no multiple of any tile."""
    weight = weight_of(72, 208, quantized=quantized, device=device)
    x = randn(rows, 208).to(device, torch.bfloat16)
    assert error(run_linear(x, weight, tiling).sum(dim=0), plain_linear(x, weight)) < 1e-5


@pytest.mark.parametrize("quantized", [False, True])
def test_gated_linear(quantized: bool, device: torch.device) -> None:
    weight = weight_of(2 * 40, 96, quantized=quantized, device=device)
    x = 0.1 * randn(5, 96).to(device, torch.bfloat16)
    found = run_linear(x, weight, tiling_of(40, 96, gated=True), gated=True)[0]
    assert error(found, plain_linear(x, weight, gated=True)) < BFLOAT16_STEP


def test_a_row_of_a_linear_layer_is_the_same_in_any_company(device: torch.device) -> None:
    weight = weight_of(48, 160, quantized=True, device=device)
    x = randn(35, 160).to(device, torch.bfloat16)
    whole = run_linear(x, weight, Tiling(16, 32, 2))
    for first, last in ((0, 1), (3, 20), (34, 35)):
        assert torch.equal(run_linear(x[first:last].contiguous(), weight, Tiling(16, 32, 2)), whole[:, first:last])


def test_small_layers_are_cut_so_that_all_processors_work() -> None:
    assert tiling_of(576, 1536).splits > 1
    assert tiling_of(28672, 4096).splits == 1
    assert tiling_of(576, 64).splits == 1
    assert tiling_of(1536, 576, gated=True).splits == 1


@pytest.mark.parametrize("quantized", [False, True])
def test_embed(quantized: bool, device: torch.device) -> None:
    weight = weight_of(40, 72, quantized=quantized, device=device)
    tokens = torch.tensor([3, 39, 0, 3], dtype=torch.int32, device=device)
    x = poisoned(4, 72, device=device)
    embed(tokens, weight, x)
    assert torch.equal(x, plain_embed(tokens, weight))


@pytest.mark.parametrize("parts", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_residual_norm(parts: int, dtype: torch.dtype, device: torch.device) -> None:
    x, weight = randn(3, 72).to(device), randn(72, seed=1).to(device)
    left = randn(parts, 3, 72, seed=2).to(device) if parts else None
    wanted, normed = plain_residual_norm(x, left, weight, 1e-5)
    out = poisoned(3, 72, device=device, dtype=dtype)
    residual_norm(x, left, weight, out, 1e-5)
    torch.testing.assert_close(x, wanted)
    torch.testing.assert_close(
        out, normed.to(dtype), rtol=2 * BFLOAT16_STEP if dtype == torch.bfloat16 else 1e-5, atol=1e-6
    )


def test_rotate_and_write(device: torch.device) -> None:
    heads, key_heads, size, rows = 6, 2, 32, 4
    parts = randn(2, rows, (heads + 2 * key_heads) * size).to(device)
    cosine, sine = randn(50, size // 2, seed=1).to(device), randn(50, size // 2, seed=2).to(device)
    positions, pages, offsets = (
        torch.tensor(column, dtype=torch.int32, device=device)
        for column in ([3, 49, 0, 7], [2, 0, -1, 2], [31, 0, 5, 3])
    )
    results = []
    for run in (rotate_and_write, plain_rotate_and_write):
        query = poisoned(rows, heads, size, device=device, dtype=torch.bfloat16)
        storage = torch.zeros(3, 2, 2, key_heads, 32, size, device=device, dtype=torch.bfloat16)
        run(parts, cosine, sine, positions, pages, offsets, query, storage, 1)
        results.append((query, storage))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=2 * BFLOAT16_STEP, atol=1e-6)
    storage = results[0][1]
    assert not storage[:, 0].any(), "of another layer"
    assert int(storage.any(dim=-1).sum()) == 3 * 2 * key_heads, "three rows, keys and values, nothing of the fourth"


class Attention:
    """Three sequences over shuffled pages: one token, a block behind clean tokens, and one that sees nothing."""

    heads, key_heads, size, pages = 6, 2, 32, 2 * STRETCH_PAGES

    def __init__(self, device: torch.device, seed: int = 0) -> None:
        self.device = device
        shape = (3 * self.pages, 2, 2, self.key_heads, 32, self.size)
        self.storage = randn(*shape, seed=seed).to(device, torch.bfloat16)
        order = torch.randperm(3 * self.pages, generator=torch.Generator().manual_seed(seed))
        self.tables = order.to(device, torch.int32).view(3, self.pages)
        limits = [(130, 0, 0), *((150 + row, 0, 0) for row in range(4)), *((151, 154, 160),) * 6, (0, 0, 0)]
        self.visible = torch.tensor(limits, dtype=torch.int32, device=device)
        self.sequences = [(0, 1), (1, 10), (11, 1)]
        self.query = (randn(12, self.heads, self.size, seed=seed + 1) * 0.5).to(device, torch.bfloat16)

    def run(self, sequences: list[int], tables: Tensor | None = None) -> Tensor:
        """The rows of these sequences, alone."""
        tables = self.tables if tables is None else tables
        rows = torch.cat(
            [torch.arange(first, first + count) for first, count in (self.sequences[s] for s in sequences)]
        )
        tiles, at = [], 0
        for sequence in sequences:
            count = self.sequences[sequence][1]
            step = tile_tokens(self.heads, self.key_heads)
            tiles += [(at + start, min(step, count - start), sequence) for start in range(0, count, step)]
            at += count
        tiles += [(0, 0, 0)] * 2  # there is room for more
        columns = Tiles(*torch.tensor(tiles, dtype=torch.int32, device=self.device).T.contiguous())
        stretches = tables.shape[1] // STRETCH_PAGES
        partial = Partial(
            poisoned(len(rows), self.heads, stretches, self.size, device=self.device),
            *(poisoned(len(rows), self.heads, stretches, device=self.device) for _ in range(2)),
        )
        query, visible = self.query[rows].contiguous(), self.visible[rows].contiguous()
        out = poisoned(*query.shape, device=self.device, dtype=torch.bfloat16)
        attend(query, self.storage, 1, tables, visible, columns, partial, out)
        self.wanted = plain_attend(query, self.storage, 1, tables, visible, columns)
        return out


def test_attention(device: torch.device) -> None:
    attention = Attention(device)
    found = attention.run([0, 1, 2])
    torch.testing.assert_close(found.float(), attention.wanted, rtol=0.02, atol=0.01)
    assert not found[11].any(), "a row that sees nothing"


def test_attention_of_a_row_is_the_same_in_any_company(device: torch.device) -> None:
    attention = Attention(device)
    whole = attention.run([0, 1, 2])
    assert torch.equal(attention.run([0]), whole[:1])
    assert torch.equal(attention.run([1]), whole[1:11])
    assert torch.equal(attention.run([1, 0])[10:], whole[:1])
    longer = torch.cat([attention.tables, attention.tables], dim=1)  # beside a sequence with a longer context
    assert torch.equal(attention.run([0, 1], longer), whole[:11])


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("rows", [1, 18])
def test_decide(rows: int, quantized: bool, device: torch.device) -> None:
    vocabulary, size = 150, 80
    weight = weight_of(vocabulary, size, quantized=quantized, device=device)
    bias = torch.zeros(vocabulary, device=device)
    bias[:70] = -inf  # a whole part of it
    states = 0.3 * randn(rows, size).to(device)
    told, out = poisoned(rows, parts_of(vocabulary), TOLD, device=device), poisoned(rows, TOLD, device=device)
    decide(states, weight, bias, told, out)
    wanted = plain_decide(states, weight, bias)
    assert torch.equal(out[:, 0], wanted[:, 0])
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)
    alone = poisoned(1, TOLD, device=device)
    decide(states[rows - 1 :], weight, bias, told, alone)
    assert torch.equal(alone[0], out[-1])


def test_the_first_of_equals_is_chosen(device: torch.device) -> None:
    weight = weight_of(150, 32, quantized=False, device=device)
    bias = torch.zeros(150, device=device)
    bias[:9] = -inf
    out = poisoned(1, TOLD, device=device)
    decide(torch.zeros(1, 32, device=device), weight, bias, poisoned(1, parts_of(150), TOLD, device=device), out)
    assert out.tolist() == [[9.0, 0.0, 141.0, 0.0]]


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_numbers_that_are_none_show_in_the_decision(value: float, device: torch.device) -> None:
    weight = weight_of(150, 32, quantized=False, device=device)
    states = randn(2, 32).to(device)
    states[1, 3] = value
    out = poisoned(2, TOLD, device=device)
    decide(states, weight, torch.zeros(150, device=device), poisoned(2, parts_of(150), TOLD, device=device), out)
    assert bool(out[0].isfinite().all())
    assert not bool(out[1, 1:3].isfinite().all())
