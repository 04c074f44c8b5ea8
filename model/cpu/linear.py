"""Linear layers over int8 rows: activations quantised per token, products summed exactly in int32 (VNNI).

A row's result does not depend on the other rows, bit for bit. The weights are read once for up to all rows of a step;
while one panel is multiplied the next is fetched, without which the same loop takes twice as long.
"""

from __future__ import annotations

from .vector_code import BYTE, FLOAT, INT32, LANES, Code, Value, Variable, vector

PANEL = 3
"""Vectors of output columns that are computed together: with 8 rows, 24 of 32 registers hold sums."""
COLUMNS = PANEL * LANES
ROWS = (8, 4, 2, 1)
PANEL_BYTES = COLUMNS * 4
ZERO_POINT = 128  # activations travel as uint8, the form that VNNI multiplies with int8


def linear(
    code: Code,
    x: Value,
    x_scale: Value,
    rows: Value,
    weight: Value,
    scale: Value,
    correction: Value,
    out: Value,
    depth: Value,
    columns: Value,
    thread: Value,
    threads: Value,
    *,
    accumulate: bool,
) -> None:
    """out = x @ weight.T, or out += it; each thread computes its share of the columns for all rows.

    Args:
        x: quantised rows.  # uint8 [T, depth]
        out: # fp32 [T, columns], columns padded to whole panels
    """
    panels = columns // COLUMNS
    share = (threads + (panels - 1)) // threads
    last = code.minimum((thread + 1) * share, panels)
    with code.loop(thread * share, last) as panel:
        row = Variable(code, code.constant(0))
        for size in ROWS:
            end = row.value + (rows - row.value) // size * size
            with code.loop(row.value, end, size) as first:
                _tile(code, x, x_scale, weight, scale, correction, out, panel, first, size, depth, columns, accumulate)
            row.value = end


def _tile(
    code: Code,
    x: Value,
    x_scale: Value,
    weight: Value,
    scale: Value,
    correction: Value,
    out: Value,
    panel: Value,
    first: Value,
    size: int,
    depth: Value,
    columns: Value,
    accumulate: bool,
) -> None:
    """`size` rows of one panel."""
    integers, floats, bytes_ = vector(INT32), vector(FLOAT), vector(BYTE, 4 * LANES)
    sums = [[Variable(code, code.constant(0, integers)) for _ in range(PANEL)] for _ in range(size)]
    panel_bytes = depth * COLUMNS
    start = weight + panel * panel_bytes
    with code.loop(0, depth // 4) as word:
        at = start + word * PANEL_BYTES
        weights = [code.load(bytes_, at + 4 * LANES * column) for column in range(PANEL)]
        for column in range(PANEL):
            code.prefetch(at + panel_bytes + 4 * LANES * column)
        for row in range(size):
            four = code.bits(code.broadcast(code.load(INT32, x + (first + row) * depth + word * 4)), bytes_)
            for column in range(PANEL):
                sums[row][column].value = code.dot_bytes(sums[row][column].value, four, weights[column])
    for column in range(PANEL):
        offset = (panel * PANEL + column) * (4 * LANES)
        column_scale, surplus = code.load(floats, scale + offset), code.load(integers, correction + offset)
        for row in range(size):
            exact = code.convert(sums[row][column].value - surplus, floats)
            result = exact * column_scale * code.broadcast(code.load(FLOAT, x_scale + (first + row) * 4))
            place = out + (first + row) * columns * 4 + offset
            code.store(result + code.load(floats, place) if accumulate else result, place)
