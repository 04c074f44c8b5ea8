"""What `Fix this` offers on faults put into a repository that the model has not seen, and whether ruff agrees.

    python -m benchmarks.fix_this REPOSITORY [--count 100] [--seed 0] [--json]

Every fault is one change to one file after which ruff reports something that it did not report before. What is offered
as verified is linted once more here, independently of the check, and must clear the fault and add nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import keyword
import random
import subprocess
import sys
import time
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.report import show
from diffill.lsp_server.documents import Document
from diffill.lsp_server.repair.fault import Fault
from diffill.lsp_server.repair.linter import lint
from diffill.lsp_server.repair.proposals import Model
from diffill.lsp_server.repair.repair import repair
from diffill.model.client import EngineClient, EngineSettings
from diffill.model.tokenizer import Tokenizer

MAX_FILE_BYTES = 60_000
Spot = tuple[int, int, str]
"""Characters from start to end, and what takes their place."""


@dataclass(frozen=True, kw_only=True)
class Injected:
    kind: str
    path: Path
    before: str
    text: str
    fault: Fault


def names(text: str) -> Iterator[tuple[int, str]]:
    """Offsets and names of a Python text."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
            yield starts[token.start[0] - 1] + token.start[1], token.string


def misspelt(text: str, chance: random.Random) -> Spot | None:
    """Two letters of a name change places."""
    offset, name = chance.choice([(offset, name) for offset, name in names(text) if len(name) > 3] or [(0, "")])
    if not name:
        return None
    place = chance.randrange(1, len(name) - 1)
    return offset, offset + len(name), name[:place] + name[place + 1] + name[place] + name[place + 2 :]


def half_renamed(text: str, chance: random.Random) -> Spot | None:
    """A name is another one than where it was defined."""
    offset, name = chance.choice(list(names(text)) or [(0, "")])
    return (offset, offset + len(name), f"{name}_{chance.choice(['new', 'old', 'item', 'value'])}") if name else None


def dropped(characters: str) -> Callable[[str, random.Random], Spot | None]:
    def drop(text: str, chance: random.Random) -> Spot | None:
        places = [index for index, character in enumerate(text) if character in characters]
        return (place := chance.choice(places), place + 1, "") if places else None

    return drop


def replaced(old: str, new: str) -> Callable[[str, random.Random], Spot | None]:
    def replace(text: str, chance: random.Random) -> Spot | None:
        places = [index for index in range(len(text)) if text.startswith(old, index)]
        return (place := chance.choice(places), place + len(old), new) if places else None

    return replace


def import_taken_out(text: str, chance: random.Random) -> Spot | None:
    """A whole import line is missing."""
    starts = [index for index in range(len(text)) if text.startswith(("\nimport ", "\nfrom "), index)]
    if not starts:
        return None
    start = chance.choice(starts)
    end = text.find("\n", start + 1)
    return None if "(" in text[start:end] else (start, end, "")


KINDS: dict[str, Callable[[str, random.Random], Spot | None]] = {
    "misspelt name": misspelt,
    "half-renamed name": half_renamed,
    "dropped colon": dropped(":"),
    "dropped bracket": dropped(")]}"),
    "== None": replaced(" is None", " == None"),
    "is literal": replaced(' == "', ' is "'),
    "f without a field": replaced(' "', ' f"'),
    "missing import": import_taken_out,
}


async def inject(kind: str, path: Path, chance: random.Random) -> Injected | None:
    """One fault of this kind in a file, or None when ruff sees nothing wrong."""
    before = path.read_text("utf-8")
    spot = KINDS[kind](before, chance)
    if spot is None:
        return None
    start, end, new = spot
    text = before[:start] + new + before[end:]
    old = Counter((finding.code, finding.message) for finding in await lint(document(path, before), silenced_too=True))
    for finding in await lint(document(path, text), silenced_too=True):
        key = (finding.code, finding.message)
        if old[key] == 0:
            return Injected(kind=kind, path=path, before=before, text=text, fault=Fault.of_finding(finding))
        old[key] -= 1
    return None


def document(path: Path, text: str) -> Document:
    return Document(uri=path.as_uri(), language="python", version=0, text=text)


def ruff(path: Path, text: str) -> Counter[tuple[str, str]]:
    """Ruff asked on its own, without the code under measurement."""
    options = "--ignore-noqa --no-cache --exit-zero --output-format json --extend-select F --stdin-filename"
    command = [sys.executable, "-m", "ruff", "check", *options.split(), str(path), "-"]
    process = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return Counter((str(item["code"]), " ".join(item["message"].split())) for item in json.loads(process.stdout))


async def measure(repository: Path, *, count: int, seed: int) -> dict[str, object]:
    chance = random.Random(seed)
    files = [path for path in sorted(repository.resolve().rglob("*.py")) if path.stat().st_size < MAX_FILE_BYTES]
    injected: list[Injected] = []
    while len(injected) < count:
        kind = list(KINDS)[len(injected) % len(KINDS)]
        if fault := await inject(kind, chance.choice(files), chance):
            injected.append(fault)
    settings = EngineSettings.from_environment()
    client, tokenizer = EngineClient(settings), Tokenizer.load(settings.checkpoint)
    model = (await client.wait_ready()).model
    writer = Model(engine=client, tokenizer=tokenizer)
    rows: list[dict[str, object]] = []
    for case in track(injected, console=Console(stderr=True), disable=not sys.stderr.isatty()):
        began = time.perf_counter()
        found = await repair(document(case.path, case.text), case.fault, writer)
        seconds = time.perf_counter() - began
        sound = None
        if found is not None and found.verified:
            earlier, later = ruff(case.path, case.text), ruff(case.path, found.text)
            key = (case.fault.code, " ".join(case.fault.message.split()))
            sound = later[key] < earlier[key] and not later - earlier
        rows.append(
            {
                "kind": case.kind,
                "file": str(case.path.relative_to(repository.resolve())),
                "instruction": case.fault.instruction,
                "offered": bool(found and found.verified),
                "unverified": bool(found and not found.verified),
                "sound": sound,
                "as_before": bool(found and found.text == case.before),
                "edit": [(edit.start, edit.end, edit.text) for edit in found.edits] if found else [],
                "place": f"{found.proposal.way} {found.proposal.end - found.proposal.start}"
                if found and found.proposal
                else "",
                "ms": round(seconds * 1000),
            }
        )
        if not sys.stderr.isatty():
            print(len(rows), rows[-1], file=sys.stderr, flush=True)
    await client.close()
    return {"model": f"{model.name} {model.hash}" if model else "", "seed": seed, **summary(rows), "cases": rows}


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    offered = [row for row in rows if row["offered"]]
    times = sorted(float(str(row["ms"])) for row in rows)
    return {
        "n": len(rows),
        "offered": len(offered),
        "sound": sum(row["sound"] is True for row in offered),
        "as_before": sum(bool(row["as_before"]) for row in rows),
        "p50_ms": times[len(times) // 2],
        "p95_ms": times[int(len(times) * 0.95)],
        "by_kind": {
            kind: f"{sum(bool(row['offered']) for row in rows if row['kind'] == kind)}"
            f" of {sum(row['kind'] == kind for row in rows)}"
            for kind in KINDS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output, with every case.")
    arguments = parser.parse_args()
    report = asyncio.run(measure(arguments.repository, count=arguments.count, seed=arguments.seed))
    if not arguments.json:
        del report["cases"]
    show(report, as_json=arguments.json)


if __name__ == "__main__":
    main()
