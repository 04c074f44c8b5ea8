"""What a benchmark prints: a table to read, or one JSON document to keep."""

from __future__ import annotations

import json
import sys
from math import sqrt

from rich.console import Console


def show(report: dict[str, object], *, as_json: bool) -> None:
    """Print `report` on standard output, where nothing else goes."""
    if as_json:
        json.dump(report, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        Console().print(report)


def share(hits: int, count: int) -> dict[str, object]:
    """A share with its 95 % interval (Wilson's, which is right near 0 and 1 too)."""
    if not count:
        return {"n": 0}
    z = 1.96
    rate = hits / count
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    interval = [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]
    return {"n": count, "hits": hits, "rate": round(rate, 4), "ci95": interval}
