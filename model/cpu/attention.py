"""Attention over pages of cached keys and values. Every row sums in one order, whatever else is in the step.

A page holds some slots of every layer: `[layer][key-value head][keys: component x slot | values: slot x component]`
in fp16. Sums are fp32, and slots that a row does not see weigh exactly nothing, so rows are bitwise independent.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cache import PAGE_SLOTS
from .vector_code import FLOAT, HALF, INT32, LANES, Code, Value, Variable, vector

ROWS = (8, 4, 2, 1)
VALUE_ROWS = 4
"""Rows whose sums over values fit the registers together."""
FLOATS, HALVES = vector(FLOAT), vector(HALF)
VISIBLE_BYTES = 12
SUM_BYTES = 64
"""Room in front of a row of scores for their sum."""


@dataclass(frozen=True, kw_only=True)
class CacheLayout:
    """Sizes of a page, in bytes."""

    layers: int
    key_value_heads: int
    head_size: int

    @property
    def head_bytes(self) -> int:
        return 2 * 2 * PAGE_SLOTS * self.head_size

    @property
    def layer_bytes(self) -> int:
        return self.head_bytes * self.key_value_heads

    @property
    def page_bytes(self) -> int:
        return self.layer_bytes * self.layers


def attend(
    code: Code,
    query: Value,
    first: Value,
    pages: Value,
    storage: Value,
    visible: Value,
    scores: Value,
    stride: Value,
    out: Value,
    *,
    rows: int,
    groups: int,
    layout: CacheLayout,
    out_bytes: int,
) -> None:
    """`rows` query rows of one key-value head over their sequence.

    Args:
        query: rotated and scaled; row m is head `m % groups` of token `m // groups`.  # fp32 [T * groups, E]
        first: index of the first of the rows.
        pages: the sequence's page numbers.  # int32
        storage: where page 0 holds this layer and head.
        visible: of every token three slots (a, b, c): it sees slots below a, and from b up to c.  # int32 [T, 3]
        scores: scratch, `stride` bytes a row, with `SUM_BYTES` in front of each.
        out: of the first token, at the first of this key-value head's query heads; `out_bytes` from token to token.
    """
    seen = [visible + (first + row) // groups * VISIBLE_BYTES for row in range(rows)]
    end = Variable(code, code.constant(0))
    for limits in seen:
        end.value = code.maximum(code.maximum(code.integer(limits), code.integer(limits + 8)), end.value)
    size = layout.head_size
    queries = query + first * (4 * size)
    with code.loop(0, (end.value + (PAGE_SLOTS - 1)) // PAGE_SLOTS) as index:
        page = storage + code.integer(pages + index * 4) * layout.page_bytes
        _score(code, queries, page, scores + index * (4 * PAGE_SLOTS), stride, rows=rows, size=size)
    for row in range(rows):
        code.call(weigh, scores + stride * row, seen[row], end.value)
    sums = [code.load(FLOAT, scores + stride * row - SUM_BYTES) for row in range(rows)]
    for top in range(0, rows, VALUE_ROWS):
        chosen = range(top, min(top + VALUE_ROWS, rows))
        mixed = _mix(code, [scores + stride * row for row in chosen], pages, storage, end.value, layout)
        for row, components in zip(chosen, mixed, strict=True):
            m = first + row
            target = out + m // groups * out_bytes + m % groups * (4 * size)
            for at, total in components:
                code.store(total / sums[row], target + 4 * at)


def _score(code: Code, queries: Value, page: Value, scores: Value, stride: Value, *, rows: int, size: int) -> None:
    """Products of the query rows with the keys of one page."""
    vectors = range(PAGE_SLOTS // LANES)
    sums = [[Variable(code, code.constant(0.0, FLOATS)) for _ in vectors] for _ in range(rows)]
    with code.loop(0, size) as component:
        keys = [
            code.convert(code.load(HALVES, page + component * (2 * PAGE_SLOTS) + 2 * LANES * part), FLOATS)
            for part in vectors
        ]
        for row in range(rows):
            factor = code.broadcast(code.load(FLOAT, queries + component * 4 + 4 * size * row))
            for part in vectors:
                sums[row][part].value = code.fma(factor, keys[part], sums[row][part].value)
    for index, row_sums in enumerate(sums):
        for part, total in enumerate(row_sums):
            code.store(total.value, scores + stride * index + 4 * LANES * part)


def weigh(code: Code, scores: Value, seen: Value, end: Value) -> None:
    """Scores become weights exp(score - largest), nothing where nothing is seen; their sum stands before them."""
    before, start, stop = (code.broadcast(code.load(INT32, seen + 4 * part)) for part in range(3))
    lanes = code.vector_of(range(LANES), INT32)
    largest = Variable(code, code.constant(float("-inf"), FLOATS))
    with code.loop(0, end, LANES) as at:
        slot = code.broadcast(code.convert(at, INT32)) + lanes
        visible = (slot < before) | ((slot >= start) & (slot < stop))
        shown = code.select(visible, code.load(FLOATS, scores + at * 4), float("-inf"))
        code.store(shown, scores + at * 4)
        largest.value = code.maximum(shown, largest.value)
    top = code.lanes_maximum(largest.value)
    total = Variable(code, code.constant(0.0, FLOATS))
    with code.loop(0, end, LANES) as at:
        shown = code.load(FLOATS, scores + at * 4)
        weight = code.select(shown > float("-inf"), code.exp(shown - top), 0.0)
        code.store(weight, scores + at * 4)
        total.value += weight
    code.store(code.lanes_sum(total.value), scores - SUM_BYTES)


def _mix(
    code: Code, weights: list[Value], pages: Value, storage: Value, end: Value, layout: CacheLayout
) -> list[list[tuple[int, Value]]]:
    """Weighted sums of the values, slot after slot; of each row its vectors with the index of their first component."""
    size = layout.head_size
    parts = range(0, size, LANES)
    sums = [[Variable(code, code.constant(0.0, FLOATS)) for _ in parts] for _ in weights]
    with code.loop(0, end, PAGE_SLOTS) as start:
        page = storage + code.integer(pages + start // PAGE_SLOTS * 4) * layout.page_bytes
        values = page + layout.head_bytes // 2
        with code.loop(0, code.minimum(end - start, PAGE_SLOTS)) as slot:
            row_values = [code.convert(code.load(HALVES, values + slot * (2 * size) + 2 * at), FLOATS) for at in parts]
            for row, scores in enumerate(weights):
                weight = code.broadcast(code.load(FLOAT, scores + (start + slot) * 4))
                for part, shown in enumerate(row_values):
                    sums[row][part].value = code.fma(weight, shown, sums[row][part].value)
    return [[(at, total.value) for at, total in zip(parts, row, strict=True)] for row in sums]
