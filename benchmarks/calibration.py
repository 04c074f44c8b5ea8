"""The estimate behind the setting `confidence`: fitted on some files, judged on others.

    python -m benchmarks.calibration REPOSITORY... [--count 400] [--seed 2] [--outcomes FILE] [--write] [--json]

To be run again for other weights. The cases are those of `benchmarks.completion_quality`; what is in FILE for these
weights is not asked again, so that a stopped run goes on and a second one is done at once. Every case is judged by an
estimate that was fitted without its file (ten folds of files); what is written is fitted on all of them. `--write` puts
the estimate beside `lsp_server/confidence.py` and the table into docs/language-server.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.completion_quality import LEVELS, Outcome, cases, run
from benchmarks.report import show
from diffill.cli.replace_file import replace_text
from diffill.lsp_server.confidence import ESTIMATE_FILE, Estimate
from diffill.training.evaluation.statistics import percentile_interval, resample

FOLDS = 10
DOCS = Path(__file__).parent.parent / "docs" / "language-server.md"
_TABLE = re.compile(r"(?<=<!-- calibration -->\n).*(?=<!-- end of calibration -->)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One completion, with the chance that an estimate gave it which never saw its file."""

    path: str
    right: bool
    chance: float


def fit(totals: Sequence[float], right: Sequence[bool]) -> tuple[float, float]:
    """Intercept and slope of the logistic regression of `right` on log-probabilities, by Newton's method.

    Raises:
        ValueError: fewer than two kinds of outcomes, so that there is nothing to tell apart.
    """
    if len(set(right)) < 2:
        raise ValueError("outcomes: all are right, or all are wrong")
    x = np.stack([np.ones(len(totals)), np.asarray(totals)], axis=1)  # [N, 2]
    y = np.asarray(right, dtype=np.float64)  # [N]
    weights = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-(x @ weights)))
        # A little ridge: outcomes that a threshold separates would drive the slope to infinity.
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(hessian, x.T @ (y - p))
    return float(weights[0]), float(weights[1])


def judged(outcomes: Sequence[Outcome]) -> list[Judged]:
    """Every completion under the estimate of the other folds' files."""
    shown = [outcome for outcome in outcomes if outcome.shown]
    result = []
    for fold in range(FOLDS):
        rest = [outcome for outcome in shown if _fold(outcome) != fold]
        held_out = [outcome for outcome in shown if _fold(outcome) == fold]
        if held_out:
            estimate = _estimate(rest, model="")
            result += [
                Judged(path=item.path, right=item.right, chance=estimate.chance(_total(item))) for item in held_out
            ]
    return result


def _fold(outcome: Outcome) -> int:
    return zlib.crc32(Path(outcome.path).name.encode()) % FOLDS


def _total(outcome: Outcome) -> float:
    return outcome.score * (outcome.tokens + 1)


def _estimate(outcomes: Sequence[Outcome], *, model: str) -> Estimate:
    intercept, slope = fit([_total(outcome) for outcome in outcomes], [outcome.right for outcome in outcomes])
    return Estimate(intercept=round(intercept, 3), slope=round(slope, 3), model=model, cases=len(outcomes))


def _rate(items: Sequence[Judged], value: Callable[[Judged], float]) -> tuple[float, float, float]:
    """The mean of `value`, and its 95 % interval over files: the lines of one file are not independent."""
    files: dict[str, list[float]] = defaultdict(list)
    for item in items:
        files[item.path].append(value(item))
    sample = resample([sum(values) for values in files.values()], [len(values) for values in files.values()], seed=0)
    low, high = percentile_interval(sample)
    return sum(map(value, items)) / len(items), low, high


def area_under_curve(items: Sequence[Judged]) -> float:
    """How often a right completion has the higher chance than a wrong one."""
    right = np.array([item.chance for item in items if item.right])
    wrong = np.array([item.chance for item in items if not item.right])
    above, same = (right[:, None] > wrong).mean(), (right[:, None] == wrong).mean()
    return float(above + same / 2)


def report(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """What is shown and right at every level, and how the estimate fits in five ranges."""
    items = judged(outcomes)
    levels, ranges = [], []
    for level in LEVELS:
        kept = [item for item in items if item.chance >= level]
        if kept:
            rate, low, high = _rate(kept, lambda item: item.right)
            levels.append(
                {
                    "confidence": level, "shown": len(kept), "share": round(len(kept) / len(outcomes), 3),
                    "right": sum(item.right for item in kept), "rate": round(rate, 3),
                    "ci95": [round(low, 3), round(high, 3)],
                }
            )  # fmt: skip
    for low_chance, high_chance in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 1.01)):
        within = [item for item in items if low_chance <= item.chance < high_chance]
        if within:
            rate, low, high = _rate(within, lambda item: item.right)
            estimated = sum(item.chance for item in within) / len(within)
            ranges.append(
                {
                    "from": low_chance, "to": min(high_chance, 1.0), "n": len(within),
                    "estimated": round(estimated, 3), "rate": round(rate, 3), "ci95": [round(low, 3), round(high, 3)],
                }
            )  # fmt: skip
    return {
        "model": outcomes[0].model,
        "cases": len(outcomes),
        "files": len({outcome.path for outcome in outcomes}),
        "shown": len(items),
        "no_worse": sum(outcome.no_worse for outcome in outcomes if outcome.shown),
        "repeats": sum(outcome.repeats for outcome in outcomes if outcome.shown),
        "area_under_curve": round(area_under_curve(items), 3),
        "levels": levels,
        "ranges": ranges,
    }


def table(found: dict[str, object]) -> str:
    """The levels in Markdown, and how near the estimate is."""
    lines = [
        f"Default mode of {found['model']}; {found['cases']} cases in {found['files']} files; area under the curve"
        f" {found['area_under_curve']}. Of the {found['shown']} shown at level 0, {found['no_worse']} left the file"
        f" parsing no worse (a fresh parse of all of it), and {found['repeats']} repeated what follows the cursor.",
        "",
        f"| `confidence` | shown, of {found['cases']} | right, of those shown | 95 % interval |",
        "| --- | --- | --- | --- |",
    ]
    levels = found["levels"]
    for row in levels if isinstance(levels, list) else []:
        low, high = row["ci95"]
        lines.append(
            f"| {row['confidence']:g} | {row['shown']} ({row['share']:.0%}) | {row['right']} of {row['shown']}"
            f" ({row['rate']:.0%}) | {low:.0%} to {high:.0%} |"
        )
    lines += ["", "| estimated from – to | mean estimate | right | 95 % interval |", "| --- | --- | --- | --- |"]
    ranges = found["ranges"]
    for row in ranges if isinstance(ranges, list) else []:
        low, high = row["ci95"]
        right = round(row["rate"] * row["n"])
        lines.append(
            f"| {row['from']:g} – {row['to']:g} | {row['estimated']:.0%} | {right} of {row['n']} ({row['rate']:.0%})"
            f" | {low:.0%} to {high:.0%} |"
        )
    return re.sub(r"(?<=\d)%", " %", "\n".join(lines)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--outcomes", type=Path, default=Path("runs/calibration.jsonl"))
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    arguments.outcomes.parent.mkdir(parents=True, exist_ok=True)
    chosen = cases(arguments.repositories, arguments.count, arguments.seed)
    outcomes = asyncio.run(
        run(chosen, arguments.repositories, Console(stderr=True), context=False, kept=arguments.outcomes)
    )
    found = report(outcomes)
    estimate = _estimate([outcome for outcome in outcomes if outcome.shown], model=outcomes[0].model)
    if arguments.write:
        replace_text(ESTIMATE_FILE, ESTIMATE_FILE.read_text("utf-8"), estimate.to_json().decode())
        docs = DOCS.read_text("utf-8")
        replace_text(DOCS, docs, _TABLE.sub(lambda match: table(found), docs))
        Console(stderr=True).print(f"written: {ESTIMATE_FILE.name} and the table in {DOCS.name}")
    show({"estimate": json.loads(estimate.to_json()), **found}, as_json=arguments.json)


if __name__ == "__main__":
    main()
