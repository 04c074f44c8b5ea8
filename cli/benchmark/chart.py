"""A report as a picture: bars of one suite, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from diffill.training.evaluation.charts import AFTER, BEFORE, BY_MODE, INK, style

from .report import KernelRow, Report, Row

OTHER = "#8a5fb0"


def draw(report: Report) -> Figure:
    """One page."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    title = f"{report.suite}: {report.model.name} {report.model.hash} on {report.device}, {report.processor}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    kernels = [row for row in report.rows if isinstance(row, KernelRow)]
    rows = [row for row in report.rows if isinstance(row, Row)]
    if kernels:
        _kernels(figure.subplots(), kernels)
    elif report.suite == "typing":
        left, right = figure.subplots(1, 2)
        shares = ("within_150_ms", "within_300_ms", "cancelled", "cached_tokens")
        for index, row in enumerate(rows):
            values = [100 * (getattr(row, name) or 0.0) for name in shares]
            _bars(left, values, index, len(rows), row.mode)
        left.set_xticks(range(len(shares)), [name.replace("_", " ") for name in shares])
        style(left, "Keystrokes that asked", "", "%")
        left.legend(frameon=False, fontsize=9)
        _times(right, rows)
    else:
        left, right = figure.subplots(1, 2)
        _speeds(left, rows)
        _times(right, rows)
    return figure


def _speeds(axes: Axes, rows: Sequence[Row]) -> None:
    _grouped(axes, rows, "tokens_per_second")
    style(axes, "Speed after the prompt", "", "tokens per second")
    axes.legend(frameon=False, fontsize=9)


def _times(axes: Axes, rows: Sequence[Row]) -> None:
    _grouped(axes, rows, "p50_ms", "p95_ms")
    style(axes, "Whole answers: median, and 95 of 100 (thin)", "", "ms")


def _grouped(axes: Axes, rows: Sequence[Row], name: str, whisker: str | None = None) -> None:
    """A group of bars for each condition, a bar for each mode."""
    conditions = list(dict.fromkeys(_condition(row) for row in rows))
    modes = list(dict.fromkeys(row.mode for row in rows))
    for index, mode in enumerate(modes):
        found = {_condition(row): row for row in rows if row.mode == mode}
        values = [getattr(found[one], name) if one in found else 0.0 for one in conditions]
        _bars(axes, values, index, len(modes), mode)
        if whisker is not None:
            tops = [getattr(found[one], whisker) if one in found else 0.0 for one in conditions]
            places = [at + (index - (len(modes) - 1) / 2) * 0.8 / len(modes) for at in range(len(conditions))]
            axes.vlines(places, values, tops, color=INK, linewidth=1.0)
    axes.set_xticks(range(len(conditions)), conditions)


def _bars(axes: Axes, values: Sequence[float], index: int, count: int, mode: str) -> None:
    width = 0.8 / count
    places = [at + (index - (count - 1) / 2) * width for at in range(len(values))]
    axes.bar(places, values, width=0.92 * width, color=BY_MODE.get(mode, OTHER), label=mode)


def _condition(row: Row) -> str:
    if row.batch is not None:
        return f"batch {row.batch}"
    return f"{row.prefix} prefix" if row.prefix else "all"


def _kernels(axes: Axes, rows: Sequence[KernelRow]) -> None:
    places = range(len(rows))
    floors = [max(row.memory_floor_ms, row.compute_floor_ms) for row in rows]
    axes.bar([at - 0.2 for at in places], [row.twin_ms for row in rows], width=0.38, color=BEFORE, label="plain twin")
    axes.bar([at + 0.2 for at in places], [row.ms for row in rows], width=0.38, color=AFTER, label="here")
    axes.hlines(
        floors, [at for at in places], [at + 0.4 for at in places], color=INK, linewidth=1.6, label="floor"
    )  # fmt: skip
    labels = [
        f"{row.kernel}\n{row.rows} row{'s' * (row.rows > 1)}" + (f"\nafter {row.context}" if row.context else "")
        for row in rows
    ]
    axes.set_xticks(places, labels, fontsize=8)
    axes.set_yscale("log")
    style(axes, "Time of one operation", "", "ms")
    axes.legend(frameon=False, fontsize=9)
