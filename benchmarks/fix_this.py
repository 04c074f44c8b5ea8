"""What `Fix this` offers on faults put into files that the model has not seen, and whether the tool agrees.

    python -m benchmarks.fix_this REPOSITORY|FAULTS.jsonl.gz [--count 100] [--seed 0] [--no-syntax-guidance]
                                                  [--outcomes FILE] [--json]

Every fault is one change to one file after which a tool reports something that it did not report before: ruff for
Python, the grammar for JavaScript. A repository gets faults of eight kinds here; FAULTS is what `diffill corpus
faults` made. What is offered is checked once more here, independently of the product's check: the tool is run on the
whole file, must not report the fault any more and nothing new. Outcomes in FILE are not asked for again, so a stopped
run goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import hashlib
import io
import json
import keyword
import random
import subprocess
import sys
import tempfile
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
from diffill.lsp_server.repair.fault import Fault, syntax_faults
from diffill.lsp_server.repair.linter import lint
from diffill.lsp_server.repair.proposals import Model
from diffill.lsp_server.repair.repair import repair
from diffill.model.client import EngineClient, EngineSettings
from diffill.model.tokenizer import Tokenizer
from diffill.training.diagnostics import RUFF_RULES
from diffill.training.evaluation.statistics import bootstrap_interval
from diffill.training.syntax import parse, walk

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
    language: str = "python"

    @property
    def document(self) -> Document:
        return Document(uri=self.path.as_uri(), language=self.language, version=0, text=self.text)


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
    fault = await _news(path, before, text, "python")
    return Injected(kind=kind, path=path, before=before, text=text, fault=fault) if fault is not None else None


async def _news(path: Path, before: str, after: str, language: str) -> Fault | None:
    """What a tool reports about `after` and not about `before`; the first, if there are several."""
    documents = [Document(uri=path.as_uri(), language=language, version=0, text=text) for text in (before, after)]
    old, new = [await _faults(document) for document in documents]
    known = Counter((fault.code, fault.message) for fault in old)
    for fault in new:
        if known[fault.code, fault.message] == 0:
            return fault
        known[fault.code, fault.message] -= 1
    return None


async def _faults(document: Document) -> list[Fault]:
    if document.language != "python":
        return syntax_faults(document)
    return [Fault.of_finding(finding) for finding in await lint(document, silenced_too=True)]


async def read_faults(file: Path, count: int, seed: int, directory: Path) -> list[Injected]:
    """Up to `count` faults of a set, in files of `directory` that are not written: only ruff's settings are there."""
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        pairs = [pair for line in stream if (pair := json.loads(line))["instruction"]]
    random.Random(seed).shuffle(pairs)
    (directory / "ruff.toml").write_text(f"lint.select = {json.dumps(RUFF_RULES.split(','))}\n", "utf-8")
    found: list[Injected] = []
    for number, pair in enumerate(pairs):
        if len(found) == count:
            break
        path = directory / f"case{number}{'.py' if pair['language'] == 'python' else '.js'}"
        before, text = (pair["prefix"] + pair[part] + pair["suffix"] for part in ("after", "before"))
        fault = await _news(path, before, text, pair["language"])
        if fault is not None:
            kind, language = pair["label"], pair["language"]
            found.append(Injected(kind=kind, path=path, before=before, text=text, fault=fault, language=language))
    return found


def reported(path: Path, text: str, language: str) -> Counter[tuple[str, str]]:
    """What the tool says, asked on its own, without the code under measurement."""
    if language == "python":
        return ruff(path, text)
    tree = parse(text.encode(), language)
    nodes = walk(tree.root_node) if tree is not None else []
    return Counter(("syntax", "") for node in nodes if node.is_error or node.is_missing)


def ruff(path: Path, text: str) -> Counter[tuple[str, str]]:
    """Ruff asked on its own, without the code under measurement."""
    options = "--ignore-noqa --no-cache --exit-zero --output-format json --extend-select F --stdin-filename"
    command = [sys.executable, "-m", "ruff", "check", *options.split(), str(path), "-"]
    process = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return Counter((str(item["code"]), " ".join(item["message"].split())) for item in json.loads(process.stdout))


async def inject_all(repository: Path, count: int, seed: int) -> list[Injected]:
    """`count` faults, of every kind equally many."""
    chance = random.Random(seed)
    files = [path for path in sorted(repository.resolve().rglob("*.py")) if path.stat().st_size < MAX_FILE_BYTES]
    injected: list[Injected] = []
    while len(injected) < count:
        kind = list(KINDS)[len(injected) % len(KINDS)]
        if fault := await inject(kind, chance.choice(files), chance):
            injected.append(fault)
    return injected


async def measure(injected: list[Injected], kept: Path | None, guided: bool) -> dict[str, object]:
    settings = EngineSettings.from_environment()
    client, tokenizer = EngineClient(settings), Tokenizer.load(settings.checkpoint)
    model = (await client.wait_ready()).model
    name = f"{model.name} {model.hash}" if model else ""
    writer = Model(engine=client, tokenizer=tokenizer, guided=guided)
    known = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept and kept.exists() else []
    rows: list[dict[str, object]] = []
    for case in track(injected, console=Console(stderr=True), disable=not sys.stderr.isatty()):
        key = hashlib.sha256(f"{name}\0{guided}\0{case.fault.instruction}\0{case.text}".encode()).hexdigest()[:16]
        row = next((row for row in known if row["key"] == key), None)
        if row is None:
            row = {"key": key, **await attempt(case, writer)}
            if kept:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
        rows.append(row)
    await client.close()
    return {"model": name, **summary(rows), "cases": rows}


async def attempt(case: Injected, writer: Model) -> dict[str, object]:
    """What is offered for one fault, and what the tool says of it."""
    began = time.perf_counter()
    found = await repair(case.document, case.fault, writer)
    seconds = time.perf_counter() - began
    sound = None
    if found is not None:
        earlier, later = (reported(case.path, text, case.language) for text in (case.text, found.text))
        key = (case.fault.code, " ".join(case.fault.message.split())) if case.language == "python" else ("syntax", "")
        sound = later[key] < earlier[key] and not later - earlier
    return {
        "kind": case.kind,
        "file": case.path.name,
        "instruction": case.fault.instruction,
        "offered": found is not None and found.verified,
        "unverified": found is not None and not found.verified,
        "sound": sound,
        "as_before": found is not None and found.text == case.before,
        "edit": [(edit.start, edit.end, edit.text) for edit in found.edits] if found else [],
        "place": f"{found.proposal.way} {found.proposal.end - found.proposal.start}"
        if found and found.proposal
        else "",
        "ms": round(seconds * 1000),
    }


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    offered = [row for row in rows if row["offered"]]
    times = sorted(float(str(row["ms"])) for row in rows)
    kinds = sorted({str(row["kind"]) for row in rows})
    low, high = bootstrap_interval([bool(row["offered"]) for row in rows], seed=0)
    return {
        "n": len(rows),
        "offered": len(offered),
        "offered_ci95": [round(low, 3), round(high, 3)],
        "offered_unverified": sum(bool(row["unverified"]) for row in rows),
        "sound": sum(row["sound"] is True for row in offered),
        "as_before": sum(bool(row["as_before"]) for row in rows),
        "p50_ms": times[len(times) // 2],
        "p95_ms": times[int(len(times) * 0.95)],
        "by_kind": {
            kind: f"{sum(bool(row['offered']) for row in rows if row['kind'] == kind)}"
            f" of {sum(row['kind'] == kind for row in rows)}"
            for kind in kinds
        },
    }


async def run(source: Path, count: int, seed: int, kept: Path | None, guided: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as directory:
        if source.is_dir():
            injected = await inject_all(source, count, seed)
        else:
            injected = await read_faults(source, count, seed, Path(directory))
        return await measure(injected, kept, guided)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="REPOSITORY|FAULTS.jsonl.gz")
    parser.add_argument("--outcomes", type=Path, help="Keep every outcome there, a line each.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-syntax-guidance", action="store_true", help="Answers are not mended in the engine.")
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output, with every case.")
    arguments = parser.parse_args()
    guided = not arguments.no_syntax_guidance
    report = asyncio.run(run(arguments.source, arguments.count, arguments.seed, arguments.outcomes, guided))
    if not arguments.json:
        del report["cases"]
    show(report, as_json=arguments.json)


if __name__ == "__main__":
    main()
