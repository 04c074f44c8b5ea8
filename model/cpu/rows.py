"""What is done to one token at a time: look-up, norm, rotation, gate, and the way to bytes and back."""

from __future__ import annotations

from ..cache import PAGE_SLOTS
from .attention import CacheLayout
from .linear import COLUMNS, PANEL_BYTES, ZERO_POINT
from .vector_code import BYTE, FLOAT, HALF, INT32, LANES, Code, Value, Variable, vector

FLOATS = vector(FLOAT)
VECTOR_BYTES = 4 * LANES
SMALLEST = 1e-30


def embed(code: Code, token: Value, weight: Value, scale: Value, out: Value, *, size: int) -> None:
    """A row of the embedding, taken out of the packed head.  # -> fp32 [size]"""
    words = vector(FLOAT, 4)
    row_scale = code.load(FLOAT, scale + token * 4)
    at = weight + token // COLUMNS * (size // 4 * PANEL_BYTES) + token % COLUMNS * 4
    with code.loop(0, size // 4) as word:
        four = code.convert(code.load(vector(BYTE, 4), at + word * PANEL_BYTES), words)
        code.store(four * row_scale, out + word * 16)


def normalise(code: Code, x: Value, weight: Value, out: Value, out_scale: Value, *, size: int, epsilon: float) -> None:
    """Root-mean-square norm of a row, quantised: the norm itself only enters the scale.  # fp32 -> uint8 [size]"""
    squares, largest = Variable(code, code.constant(0.0, FLOATS)), Variable(code, code.constant(0.0, FLOATS))
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        values = code.load(FLOATS, x + at)
        squares.value = code.fma(values, values, squares.value)
        largest.value = code.maximum(code.absolute(values * code.load(FLOATS, weight + at)), largest.value)
    mean = code.lanes_sum(squares.value) / float(size)
    peak = code.maximum(code.lanes_maximum(largest.value), SMALLEST)
    code.store(peak / (code.square_root(mean + epsilon) * 127.0), out_scale)
    factor = code.constant(127.0, FLOAT) / peak
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        values = code.load(FLOATS, x + at) * code.load(FLOATS, weight + at)
        _store_bytes(code, values * factor, out, at)


def normalise_float(code: Code, x: Value, weight: Value, out: Value, *, size: int, epsilon: float) -> None:
    """Root-mean-square norm of a row.  # fp32 -> fp32 [size]"""
    squares = Variable(code, code.constant(0.0, FLOATS))
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        values = code.load(FLOATS, x + at)
        squares.value = code.fma(values, values, squares.value)
    root = code.square_root(code.lanes_sum(squares.value) / float(size) + epsilon)
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        code.store(code.load(FLOATS, x + at) / root * code.load(FLOATS, weight + at), out + at)


def quantise(code: Code, x: Value, out: Value, out_scale: Value, *, size: int) -> None:
    """A row and its scale.  # fp32 -> uint8 [size]"""
    largest = Variable(code, code.constant(0.0, FLOATS))
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        largest.value = code.maximum(code.absolute(code.load(FLOATS, x + at)), largest.value)
    peak = code.maximum(code.lanes_maximum(largest.value), SMALLEST)
    code.store(peak / 127.0, out_scale)
    factor = code.constant(127.0, FLOAT) / peak
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        _store_bytes(code, code.load(FLOATS, x + at) * factor, out, at)


def gate(code: Code, x: Value, out: Value, out_scale: Value, *, size: int) -> None:
    """silu(gate) * up, in place of the gate, then quantised.  # fp32 [2 * size] -> uint8 [size]"""
    with code.loop(0, 4 * size, VECTOR_BYTES) as at:
        opening, up = code.load(FLOATS, x + at), code.load(FLOATS, x + at + 4 * size)
        code.store(opening * up / (code.exp(opening * -1.0) + 1.0), x + at)
    code.call_named("quantise_inner", x, out, out_scale)


def rotate(
    code: Code,
    heads: Value,
    cosine: Value,
    sine: Value,
    query: Value,
    query_stride: Value,
    page: Value,
    offset: Value,
    *,
    layout: CacheLayout,
    num_heads: int,
) -> None:
    """Rotate a token's query and key by its position; the query goes to `query`, key and value into their slot.

    Args:
        heads: query, key and value heads.  # fp32 [(H + 2 K) * E]
        cosine, sine: of the token's position.  # fp32 [E / 2]
        query: the token's first head; the heads of the next key-value head are `query_stride` bytes on.
        page: the layer's part of the page; `offset` is the slot in it.
    """
    size, groups = layout.head_size, num_heads // layout.key_value_heads
    with code.loop(0, num_heads) as head:
        target = query + head % groups * (4 * size) + query_stride * (head // groups)
        for at, values in _rotated(code, heads, cosine, sine, head, size):
            code.store(values * size**-0.5, target + 4 * at)
    halves = vector(HALF)
    with code.loop(0, layout.key_value_heads) as head:
        start = page + head * layout.head_bytes
        for at, values in _rotated(code, heads, cosine, sine, head + num_heads, size):
            small = code.convert(values, halves)
            for lane in range(LANES):  # keys lie transposed: one vector is one component of many slots
                code.store(code.lane(small, lane), start + offset * 2 + (at + lane) * (2 * PAGE_SLOTS))
        values_start = start + layout.head_bytes // 2 + offset * (2 * size)
        for at in range(0, size, LANES):
            source = heads + (head + (num_heads + layout.key_value_heads)) * (4 * size) + 4 * at
            code.store(code.convert(code.load(FLOATS, source), halves), values_start + 2 * at)


def _rotated(code: Code, heads: Value, cosine: Value, sine: Value, head: Value, size: int) -> list[tuple[int, Value]]:
    """Vectors of one head in the half-split layout (arXiv 2104.09864), each with the index of its first component."""
    half, rotated = size // 2, []
    for at in range(0, half, LANES):
        first = code.load(FLOATS, heads + head * (4 * size) + 4 * at)
        second = code.load(FLOATS, heads + head * (4 * size) + 4 * (half + at))
        c, s = code.load(FLOATS, cosine + 4 * at), code.load(FLOATS, sine + 4 * at)
        rotated += [(at, first * c - second * s), (half + at, second * c + first * s)]
    return rotated


def decide(code: Code, logits: Value, bias: Value, result: Value, *, columns: int) -> None:
    """The best token of a row, its logit, and with d = logit - best the sums of exp(d) and of exp(d) * d.

    Args:
        logits: # fp32 [columns]
        bias: 0, or minus infinity for what may not be answered.  # fp32 [columns]
        result: # int32 token, fp32 logit, 2 x fp32 sum
    """
    integers = vector(INT32)
    best, place = Variable(code, code.constant(float("-inf"), FLOATS)), Variable(code, code.constant(0, integers))
    with code.loop(0, columns, LANES) as at:
        values = code.load(FLOATS, logits + at * 4) + code.load(FLOATS, bias + at * 4)
        code.store(values, logits + at * 4)
        better = values > best.value
        best.value = code.select(better, values, best.value)
        place.value = code.select(better, code.broadcast(code.convert(at, INT32)), place.value)
    top = code.lanes_maximum(best.value)
    lanes = code.vector_of(range(LANES), INT32)
    none = code.constant(2**31 - 1, integers)
    where = code.select(best.value.equals(top), place.value + lanes, none)
    sums, weighted = Variable(code, code.constant(0.0, FLOATS)), Variable(code, code.constant(0.0, FLOATS))
    with code.loop(0, columns, LANES) as at:
        below = code.maximum(code.load(FLOATS, logits + at * 4) - top, -87.0)
        power = code.exp(below)
        sums.value += power
        weighted.value = code.fma(power, below, weighted.value)
    code.store(code.intrinsic("llvm.vector.reduce.smin.v16i32", INT32, where), result)
    code.store(top, result + 4)
    code.store(code.lanes_sum(sums.value), result + 8)
    code.store(code.lanes_sum(weighted.value), result + 12)


def _store_bytes(code: Code, values: Value, out: Value, at: Value) -> None:
    """Values between -127 and 127, rounded; `at` counts bytes of fp32."""
    whole = code.convert(code.round(values), vector(INT32)) + ZERO_POINT
    code.store(code.convert(whole, vector(BYTE)), out + at // 4)
