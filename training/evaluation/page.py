"""The report as files: `report.png`, and `report.html`, which carries its picture and table in itself."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .gate import GateReport
from .sweep import SweepReport
from .wording import COLUMNS, row_in_words, verdict_in_words

Document = TypeVar("Document", bound=msgspec.Struct)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1100px; margin: 2rem auto; padding: 0 1rem }
img { width: 100%; height: auto }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e5e9ee; white-space: nowrap }
th { color: #52606d; font-weight: 600 }
td:nth-child(-n+3), th:nth-child(-n+3) { text-align: left }
.better { color: #14713d; font-weight: 600 } .worse { color: #b42318; font-weight: 600 } .same { color: #7b8794 }
.verdict { font-size: 18px; margin: 1rem 0 }
"""


def write_report(
    out: Path, *, gate: Path | None, sweep: Path | None, metrics: Sequence[Path], title: str
) -> list[Path]:
    """Draw whatever is given; the PNG and the HTML are written beside their old versions and renamed.

    Raises:
        ValueError: nothing was given, or a file is not what it should be; one line that names it.
    """
    from .charts import draw, png

    if gate is None and sweep is None and not metrics:
        raise ValueError("report: there is nothing to draw: no --gate, --sweep or --metrics")
    gate_report = _read("gate", gate, GateReport) if gate else None
    sweep_report = _read("sweep", sweep, SweepReport) if sweep else None
    picture = png(draw(gate_report, sweep_report, {str(path): _records(path) for path in metrics}, title=title))
    out.mkdir(parents=True, exist_ok=True)
    files = {"report.png": picture, "report.html": page(picture, gate_report, sweep_report, title=title).encode()}
    for name, data in files.items():
        beside = out / f".{name}.part"
        beside.write_bytes(data)
        beside.replace(out / name)
    return [out / name for name in files]


def page(picture: bytes, gate: GateReport | None, sweep: SweepReport | None, *, title: str) -> str:
    """One self-contained HTML document: no script, nothing is loaded."""
    body = [f"<h1>{html.escape(title)}</h1>"]
    if gate is not None:
        body += _verdict(gate)
    encoded = base64.b64encode(picture).decode()
    body.append(f'<img alt="losses, speed and quality, before and after" src="data:image/png;base64,{encoded}">')
    if gate is not None:
        body += ["<h2>Every figure</h2>", *_table(COLUMNS, [row_in_words(row) for row in gate.rows])]
    if sweep is not None:
        body += ["<h2>Decoding settings</h2>", *_table(*_settings(sweep))]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return "\n".join(["<!doctype html>", '<html lang="en">', head, *body, "</html>", ""])


def _verdict(gate: GateReport) -> Iterator[str]:
    old = f" against {gate.before.name} {gate.before.hash}" if gate.before else ""
    yield f"<p>{html.escape(f'{gate.after.name} {gate.after.hash}{old}, on {gate.device}')}</p>"
    yield f'<p class="verdict {gate.verdict or ""}">{html.escape(verdict_in_words(gate))}</p>'
    yield f"<p>{html.escape(gate.rule_in_words)}</p>"


def _settings(sweep: SweepReport) -> tuple[list[str], list[list[str]]]:
    rows = [
        [
            point.mode,
            point.label,
            "chosen" if point.chosen else "",
            f"{100 * point.rate:.1f} % ({100 * point.ci95[0]:.1f} to {100 * point.ci95[1]:.1f})",
            f"{point.tokens_per_forward:.2f}",
            f"{point.milliseconds:.0f}",
        ]
        for point in sweep.points
    ]
    return ["mode", "settings", "", "exact match", "tokens per forward", "ms an answer"], rows


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in header) + "</tr>"
    for row in rows:
        cells = (f'<td class="{cell}">' if cell in ("better", "worse", "same") else "<td>" for cell in row)
        yield "<tr>" + "".join(f"{tag}{html.escape(cell)}</td>" for tag, cell in zip(cells, row, strict=True)) + "</tr>"
    yield "</table>"


def _read(name: str, path: Path, kind: type[Document]) -> Document:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ValueError(f"{name}: cannot read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ValueError(f"{name}: {path}: {error}") from None


def _records(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ValueError(f"metrics: {path}: {error}") from None
