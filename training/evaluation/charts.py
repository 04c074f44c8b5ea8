"""The report's picture: loss curves, the speed-quality front, rates before and after with their intervals."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .comparison import ALL, Estimate, Row
from .gate import AGAINST_FULL, GateReport
from .sweep import Point, SweepReport

INK, FAINT = "#1f2933", "#9aa5b1"
BEFORE, AFTER = "#b8c4d0", "#2563a8"
BY_MODE = {"ar": "#6b7280", "verify": "#2563a8", "diffusion": "#d9622b"}
LOSSES = {"causal": "#2563a8", "denoising": "#d9622b"}
Metrics = Mapping[str, Sequence[Mapping[str, Any]]]


def draw(gate: GateReport | None, sweep: SweepReport | None, runs: Metrics, *, title: str) -> Figure:
    """One page. A part that nothing was given for is left out."""
    upper = [part for part in ("losses" if runs else "", "front" if sweep else "") if part]
    modes = list(dict.fromkeys(row.mode for row in gate.rows if row.mode)) if gate else []
    names = list(dict.fromkeys(row.measure for row in _passed(gate, None))) if gate else []
    lower = 1.3 + 0.42 * len(names) if modes else 0.0
    figure = Figure(figsize=(13, 0.9 + (4.4 if upper else 0.0) + lower), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK)
    bands = figure.subfigures(
        2 if upper and modes else 1, 1, squeeze=False, height_ratios=[4.4, lower] if upper and modes else None
    )[:, 0]
    if upper:
        for name, axes in zip(upper, bands[0].subplots(1, len(upper), squeeze=False)[0], strict=True):
            if name == "losses":
                _losses(axes, runs)
            elif sweep is not None:
                _front(axes, sweep)
    if gate is not None and modes:
        columns = bands[-1].subplots(1, len(modes), sharey=True, sharex=True, squeeze=False)[0]
        for mode, axes in zip(modes, columns, strict=True):
            _bars(axes, names, {row.measure: row for row in _passed(gate, mode)}, mode)
        handles, labels = columns[0].get_legend_handles_labels()
        bands[-1].legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=9)
    return figure


def png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=130, facecolor="white")
    return stream.getvalue()


def _passed(gate: GateReport, mode: str | None) -> list[Row]:
    """Of the comparison with the weights before; quantisation has its row in the table."""
    return [
        row
        for row in gate.rows
        if row.quantity == "passed" and row.mode and mode in (None, row.mode) and AGAINST_FULL not in row.measure
    ]


def _losses(axes: Axes, runs: Metrics) -> None:
    """Every run goes on where the one before it ended."""
    offset = 0.0
    for index, records in enumerate(runs.values()):
        steps = [record for record in records if "held_out" not in record]
        held_out = [record for record in records if record.get("held_out")]
        for name, colour in LOSSES.items():
            points = [record for record in steps if name in record]
            axes.plot(
                [(offset + record["tokens"]) / 1e6 for record in points], [record[name] for record in points],
                color=colour, alpha=0.25, linewidth=0.8,
            )  # fmt: skip
            points = [record for record in held_out if name in record["held_out"]]
            axes.plot(
                [(offset + record["tokens"]) / 1e6 for record in points],
                [record["held_out"][name] for record in points],
                color=colour, marker="o", markersize=4, linewidth=1.8, label=None if index else f"{name}, held out",
            )  # fmt: skip
        offset += max((record.get("tokens", 0) for record in records), default=0)
        if index + 1 < len(runs):
            axes.axvline(offset / 1e6, color=FAINT, linewidth=0.8, linestyle=":")
    style(axes, "Loss (faint: training batches)", "million tokens, both streams", "nats per token")
    axes.legend(frameon=False, fontsize=9)


def _front(axes: Axes, sweep: SweepReport) -> None:
    for mode, colour in BY_MODE.items():
        points = sorted((point for point in sweep.points if point.mode == mode), key=lambda one: one.tokens_per_forward)
        if not points:
            continue
        chosen = next((point for point in points if point.chosen), points[0])
        shown = points if mode == "diffusion" else [chosen]
        axes.scatter(
            [point.tokens_per_forward for point in points], [100 * point.rate for point in points],
            s=18, color=colour, alpha=0.45, linewidths=0,
        )  # fmt: skip
        front = _undominated(shown)
        axes.plot(
            [point.tokens_per_forward for point in front], [100 * point.rate for point in front],
            color=colour, linewidth=1.4, alpha=0.8,
        )  # fmt: skip
        low, high = chosen.ci95
        label = f"{mode}: {chosen.label}" if chosen.settings else mode
        axes.errorbar(
            chosen.tokens_per_forward, 100 * chosen.rate,
            yerr=[[100 * (chosen.rate - low)], [100 * (high - chosen.rate)]],
            fmt="o", markersize=8, color=colour, capsize=3, label=label,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    style(axes, f"Speed and quality, {sweep.n} held-out lines", "tokens per forward", "exact match, %")
    axes.legend(frameon=False, fontsize=8, loc="lower right")


def _undominated(points: Sequence[Point]) -> list[Point]:
    """Those than which no other is both faster and better; fastest last."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: -one.tokens_per_forward):
        if not kept or point.rate > kept[-1].rate:
            kept.append(point)
    return kept[::-1]


def _bars(axes: Axes, names: Sequence[str], rows: Mapping[str, Row], mode: str) -> None:
    for index, name in enumerate(names):
        row = rows.get(name)
        if row is None:
            continue
        _bar(axes, index + 0.2, row.after, AFTER, "after" if row.before else "measured", first=index == 0)
        if row.before is not None:
            _bar(axes, index - 0.2, row.before, BEFORE, "before", first=index == 0)
        if row.verdict in ("better", "worse"):
            axes.text(101, index, {"better": "▲", "worse": "▼"}[row.verdict], va="center", color=INK)
    counts = {name: rows[name].n for name in names if name in rows}
    axes.set_yticks(range(len(names)), [f"{name}  n={counts.get(name, 0)}" for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 106)
    if ALL in names:
        axes.axhline(names.index(ALL) + 0.5, color=FAINT, linewidth=0.8)
    style(axes, f"mode {mode}", "passed, % (95 % interval)", "")


def _bar(axes: Axes, place: float, estimate: Estimate, colour: str, label: str, *, first: bool) -> None:
    low, high = estimate.ci95
    axes.barh(
        place, 100 * estimate.value, height=0.36, color=colour, label=label if first else None,
        xerr=[[100 * max(0.0, estimate.value - low)], [100 * max(0.0, high - estimate.value)]],
        error_kw={"elinewidth": 1.0, "capsize": 2.0, "ecolor": INK},
    )  # fmt: skip


def style(axes: Axes, title: str, x: str, y: str) -> None:
    """Title, labels and a quiet frame, the same on every chart."""
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(True, axis="x" if not y else "both", color="#e5e9ee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
