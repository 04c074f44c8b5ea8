"""Counts the requests of a web server's access log by status and by path."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path


def parse_line(line: str) -> dict[str, str] | None:
    """Split `METHOD PATH STATUS MILLISECONDS`; None for a line of another form."""
    parts = line.split()
    if len(parts) != 4:
        return None
    method, path, status, milliseconds = parts
    return {
        "method": method,
        "path": path,
        "status": status,
        "milliseconds": milliseconds,
    }


def read_requests(file: Path) -> list[dict[str, str]]:
    """All well-formed lines of a log file."""
    requests = []
    with file.open(encoding="utf-8") as stream:
        for line in stream:
            request = parse_line(line)
            if request is not None:
                requests.append(request)
    return requests


def count_by(requests: list[dict[str, str]], key: str) -> Counter[str]:
    """How often each value of `key` occurs."""
    counts: Counter[str] = Counter()
    for request in requests:
        counts[request[key]] += 1
    return counts


def mean_time(requests: list[dict[str, str]]) -> float:
    """Mean answer time in milliseconds, 0 for no requests."""
    if not requests:
        return 0.0
    total = sum(float(request["milliseconds"]) for request in requests)
    return total / len(requests)


def main() -> None:
    """Read the file named on the command line and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    requests = read_requests(arguments.file)
    statuses = count_by(requests, "status")
    paths = count_by(requests, "path")
    if arguments.json:
        print(json.dumps({"statuses": statuses, "paths": paths}))
        return
    for status, count in statuses.most_common():
        print(f"{status}: {count}")
    for path, count in paths.most_common():
        print(f"{path}: {count}")


if __name__ == "__main__":
    main()
