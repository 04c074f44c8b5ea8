"""How long it takes to gather what other files say about a place, in the language server's own process.

    python -m benchmarks.context REPOSITORY [--open 20] [--places 200] [--seed 0] [--json]

So many files of the repository are open; the cursor jumps from place to place in them, and some words are changed on
the way, so that passages, imported definitions and recent edits are all looked for. The budget is 30 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from pathlib import Path

from benchmarks.report import show
from diffill.lsp_server.context import Context
from diffill.lsp_server.documents import Document, Documents, Edit

LIMIT_MS = 30.0


async def measure(repository: Path, *, count: int, places: int, seed: int) -> dict[str, object]:
    chance = random.Random(seed)
    files = [path for path in sorted(repository.resolve().rglob("*.py")) if path.stat().st_size > 1_000]
    documents = Documents()
    context = Context(documents, (repository.resolve().as_uri(),))
    for path in chance.sample(files, min(count, len(files))):
        text = path.read_text("utf-8", "replace")
        documents.open(Document(uri=path.as_uri(), language="python", version=1, text=text))
    context.warm()
    opened = list(documents)
    if not opened:
        raise SystemExit("context: the repository holds no Python files of a usual size")
    times, lengths, longest_pause = [], [], 0.0
    for _ in range(places):
        document = chance.choice(opened)
        offset = chance.randrange(len(document.content))
        documents.touch(document.uri)
        documents.edit(document, Edit(start=offset, end=offset, text="changed "))
        began = time.perf_counter()
        related = context.text_for(document, offset)
        times.append((time.perf_counter() - began) * 1000)
        lengths.append(len(related))
        # What the loop that answers the editor feels of the index that is made on another thread.
        while context.passages.is_renewing:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            longest_pause = max(longest_pause, (time.perf_counter() - began) * 1000)
    times.sort()
    return {
        "open": len(opened),
        "places": places,
        "p50_ms": round(times[len(times) // 2], 2),
        "p95_ms": round(times[int(len(times) * 0.95)], 2),
        "max_ms": round(times[-1], 2),
        "longest_pause_ms": round(longest_pause, 1),
        "median_characters": sorted(lengths)[len(lengths) // 2],
        "later_than_30_ms": sum(milliseconds > LIMIT_MS for milliseconds in times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--open", type=int, default=20)
    parser.add_argument("--places", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    work = measure(arguments.repository, count=arguments.open, places=arguments.places, seed=arguments.seed)
    show(asyncio.run(work), as_json=arguments.json)


if __name__ == "__main__":
    main()
