"""What is shown by itself in repositories that the model has not seen: how often it is right, parses, or repeats.

    python -m benchmarks.completion_quality REPOSITORY... [--count 300] [--seed 0] [--context]
                                             [--outcomes FILE] [--json]

Every case is a cursor in a real file: the rest of its line is taken away, or the whole body of an empty block. The
answer comes from the use case that the language server calls, with the real model. *Right* means that its first line
is the one that was there; *no worse* that a fresh parse of the whole file counts no more errors than before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.report import show
from diffill.lsp_server.completion import Completion, complete
from diffill.lsp_server.confidence import chance
from diffill.lsp_server.context import Context
from diffill.lsp_server.documents import Document, Documents
from diffill.model.client import EngineClient, EngineSettings
from diffill.model.code.languages import language_of
from diffill.model.code.span import leading_space, width
from diffill.model.code.syntax import Syntax
from diffill.model.tokenizer import Tokenizer

MAX_FILE_BYTES = 60_000
BLOCKS = 0.3
"""Share of the cases that take away a block instead of the rest of a line."""
NEIGHBOURS = 10
LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file with a hole."""

    path: str
    text: str
    offset: int
    removed: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one case."""

    path: str
    offset: int
    kind: str
    shown: bool
    right: bool
    no_worse: bool
    repeats: bool
    score: float
    tokens: int
    chance: float
    ms: float
    model: str = ""


def cases(directories: Iterable[Path], count: int, seed: int) -> list[Case]:
    """`count` cases, from every file about equally many."""
    chosen = random.Random(seed)
    files = sorted(path for directory in directories for path in directory.rglob("*.py"))
    files = [path for path in files if 200 < path.stat().st_size <= MAX_FILE_BYTES]
    if not files:
        raise SystemExit("completion_quality: the repositories hold no Python files of a usual size")
    found: list[Case] = []
    while len(found) < count:
        path = chosen.choice(files)
        case = _hole(str(path), path.read_text("utf-8", "replace"), chosen)
        if case is not None:
            found.append(case)
    return found


def _hole(path: str, text: str, chosen: random.Random) -> Case | None:
    lines = text.splitlines(keepends=True)
    index = chosen.randrange(len(lines))
    line = lines[index].rstrip("\r\n")
    code = line.strip()
    if not code or code.startswith(("#", '"')):
        return None
    start = sum(map(len, lines[:index]))
    if chosen.random() < BLOCKS and index and lines[index - 1].rstrip().endswith(":"):
        indentation = leading_space(line)
        end = index
        while end < len(lines) and (not lines[end].strip() or width(leading_space(lines[end])) >= width(indentation)):
            end += 1
        removed = "".join(lines[index:end])[len(indentation) :].rstrip()
        offset = start + len(indentation)
        return Case(path=path, text=text[:offset] + text[offset + len(removed) :], offset=offset, removed=removed)
    # Where one stops typing: behind a word, a space or a bracket.
    stops = [match.end() for match in re.finditer(r"\w+|\s+|[^\w\s]", line) if match.end() < len(line)]
    stops = [stop for stop in stops if stop >= len(leading_space(line))]
    if not stops:
        return None
    stop = chosen.choice(stops)
    offset = start + stop
    return Case(path=path, text=text[:offset] + text[start + len(line) :], offset=offset, removed=line[stop:])


def judge(case: Case, completions: list[Completion], seconds: float) -> Outcome:
    """Compare what was answered with what was there."""
    if not completions:
        return Outcome(
            path=case.path, offset=case.offset, kind="", shown=False, right=False, no_worse=True, repeats=False,
            score=0.0, tokens=0, chance=0.0, ms=seconds * 1000,
        )  # fmt: skip
    best = completions[0]
    language = language_of(Path(case.path))
    before, after = (
        Syntax.parse(text, language)
        for text in (case.text, case.text[: best.start] + best.text + case.text[best.end :])
    )
    return Outcome(
        path=case.path,
        offset=case.offset,
        kind=best.kind,
        shown=True,
        right=first_line(best.text) == first_line(case.removed),
        no_worse=before is None or after is None or after.problems <= before.problems,
        repeats=repeats_suffix(best.text, case.text[best.end :]),
        score=best.score,
        tokens=best.tokens,
        chance=chance(best),
        ms=seconds * 1000,
    )


def first_line(text: str) -> str:
    return text.lstrip("\n").split("\n", 1)[0].strip()


def repeats_suffix(text: str, suffix: str) -> bool:
    """Whether the end of `text` is what the suffix begins with, or one of its lines is the next one there."""
    following = next((line.strip() for line in suffix.split("\n")[1:] if line.strip()), "")
    lines = [line.strip() for line in text.split("\n")[1:] if line.strip()]
    if len(following) > 3 and following in lines[-1:]:
        return True
    rest = suffix.split("\n", 1)[0].strip()
    return len(rest) > 1 and text.rstrip().endswith(rest)


async def run(
    chosen: list[Case], repositories: list[Path], console: Console, *, context: bool, kept: Path | None = None
) -> list[Outcome]:
    """Ask for every case, one after the other; with context, the file's neighbours are open too.

    Args:
        kept: where every outcome is written as it comes. What is there for these weights is not asked again.
    """
    settings = EngineSettings.from_environment()
    tokenizer = Tokenizer.load(settings.checkpoint)
    client = EngineClient(settings)
    outcomes = []
    try:
        model = (await client.wait_ready()).model
        name = f"{model.name} {model.hash}" if model is not None else ""
        known = {(outcome.path, outcome.offset): outcome for outcome in _read(kept) if outcome.model == name}
        for case in track(chosen, "completing", console=console):
            outcome = known.get((case.path, case.offset))
            if outcome is None:
                document = Document(
                    uri=Path(case.path).absolute().as_uri(), language="python", version=1, text=case.text
                )
                related = await _related(document, case, repositories) if context else ""
                began = time.perf_counter()
                found = await complete(document, case.offset, engine=client, tokenizer=tokenizer, related=related)
                outcome = replace(judge(case, found, time.perf_counter() - began), model=name)
                _add(outcome, kept)
            outcomes.append(outcome)
    finally:
        await client.close()
    return outcomes


def _read(kept: Path | None) -> list[Outcome]:
    if kept is None or not kept.exists():
        return []
    return [Outcome(**json.loads(line)) for line in kept.read_text("utf-8").splitlines()]


def _add(outcome: Outcome, kept: Path | None) -> None:
    if kept is not None:
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(outcome)) + "\n")


async def _related(document: Document, case: Case, repositories: list[Path]) -> str:
    documents = Documents()
    for neighbour in sorted(Path(case.path).parent.glob("*.py"))[:NEIGHBOURS]:
        if neighbour.name != Path(case.path).name:
            text = neighbour.read_text("utf-8", "replace")
            documents.open(Document(uri=neighbour.absolute().as_uri(), language="python", version=1, text=text))
    documents.open(document)
    context = Context(documents, tuple(repository.absolute().as_uri() for repository in repositories))
    context.gather(document, case.offset)
    await context.passages.renewed()
    return context.text_for(document, case.offset)


def summary(outcomes: list[Outcome]) -> dict[str, object]:
    """Rates over what was shown, and for every level of confidence how much is shown and how much of it is right."""
    shown = [outcome for outcome in outcomes if outcome.shown]
    if not shown:
        raise SystemExit("completion_quality: nothing was shown")
    levels = []
    for level in LEVELS:
        kept = [outcome for outcome in shown if outcome.chance >= level]
        right = sum(outcome.right for outcome in kept)
        levels.append(
            {
                "confidence": level,
                "shown": round(len(kept) / len(outcomes), 3),
                "right": round(right / len(kept), 3) if kept else None,
                "n": len(kept),
            }
        )
    times = sorted(outcome.ms for outcome in shown)
    return {
        "n": len(outcomes),
        "shown": len(shown),
        "right": sum(outcome.right for outcome in shown) / len(shown),
        "no_worse": sum(outcome.no_worse for outcome in shown) / len(shown),
        "repeats": sum(outcome.repeats for outcome in shown) / len(shown),
        "p50_ms": times[len(times) // 2],
        "levels": levels,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    parser.add_argument("--context", action="store_true", help="Show the model what the neighbouring files say.")
    parser.add_argument("--outcomes", type=Path, help="Keep every outcome there, a line each; a stopped run goes on.")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    chosen = cases(arguments.repositories, arguments.count, arguments.seed)
    work = run(chosen, arguments.repositories, console, context=arguments.context, kept=arguments.outcomes)
    outcomes = asyncio.run(work)
    show(summary(outcomes), as_json=arguments.json)


if __name__ == "__main__":
    main()
