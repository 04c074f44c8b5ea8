"""What a benchmark prints: a table to read, or one JSON document to keep."""

from __future__ import annotations

import json
import sys

from rich.console import Console


def show(report: dict[str, object], *, as_json: bool) -> None:
    """Print `report` on standard output, where nothing else goes."""
    if as_json:
        json.dump(report, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        Console().print(report)
