"""Holes in a repository: take a line or a piece of syntax out and see whether the same text comes back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffill.model.decoding_turn import Decoder
from diffill.model.fim import cut_before_cursor
from diffill.model.request import DecodeRequest, Mode, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

from ..languages import EXTENSIONS
from .judgement import Judgement, Report, report, timed_decode

SKIPPED = {"node_modules", "build", "dist", "vendor"}
MAX_FILE_BYTES = 200_000
MAX_LINE = 160
CONTEXT_CHARACTERS = 4000
"""Taken on each side of a hole: more than the prompt's budget holds."""
MAX_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Hole:
    """A text to bring back."""

    name: str
    """`PATH:LINE` below the repository."""
    prefix: str
    suffix: str
    missing: str
    to_line_end: bool = True
    """The answer ends with its line; otherwise where the model ends it."""


def punch_holes(repository: Path, *, count: int, seed: int, since: str | None = None) -> list[Hole]:
    """`count` seeded holes, files weighted by their lines.

    Args:
        since: a commit of the repository; only lines are taken out that no file held then, indentation aside. What
            was tuned on that commit has not seen them.

    Raises:
        ValueError: the directory is missing, has no such commit, or has no line to take out.
    """
    if not repository.is_dir():
        raise ValueError(f"repo: {repository} is not a directory")
    known = lines_at(repository, since) if since is not None else frozenset[str]()
    places = [(path, line) for path in _files(repository) for line in lines_worth_asking(_text(path), known)]
    if not places:
        raise ValueError(f"repo: {repository} has no source line to take out")
    generator = random.Random(seed)
    chosen = generator.sample(places, min(count, len(places)))
    return [line_hole(str(path.relative_to(repository)), _text(path), line) for path, line in chosen]


def judge_hole(hole: Hole, decoder: Decoder, tokenizer: Tokenizer, *, mode: Mode) -> Judgement:
    """Fill one hole greedily; it passes when the whole text is equal, trailing space aside."""
    cut = cut_before_cursor(hole.prefix)
    request = DecodeRequest(
        prompt=pack_ids(cut.prompt(hole.suffix, tokenizer)),
        mode=mode,
        max_tokens=MAX_TOKENS,
        stop_at_line_end=hole.to_line_end,
        starts_with_space=cut.space,
    )
    answer, milliseconds = timed_decode(decoder, request)
    ids = unpack_ids(answer.tokens)
    text = cut.answer(tokenizer.decode(ids))
    if hole.to_line_end:
        text = text.split("\n", 1)[0]
    equal = text.rstrip() == hole.missing.rstrip()
    return Judgement(
        task_id=hole.name,
        passed=equal,
        exact=equal,
        tokens=len(ids),
        forward_passes=answer.forward_passes,
        milliseconds=milliseconds,
        text=text,
    )


def evaluate_holes(
    holes: Sequence[Hole],
    decoder: Decoder,
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    seed: int,
    on_case: Callable[[Judgement], None] = lambda judgement: None,
) -> Report:
    """Fill every hole greedily and compare. No line is empty, so nothing passes without a model."""
    judgements = []
    for hole in holes:
        judgements.append(judge_hole(hole, decoder, tokenizer, mode=mode))
        on_case(judgements[-1])
    return report("holes", judgements, mode=mode, info=decoder.info, seed=seed)


def _files(repository: Path) -> Iterator[Path]:
    for path in sorted(repository.rglob("*")):
        inside = path.relative_to(repository).parts
        hidden = any(part.startswith(".") or part in SKIPPED for part in inside)
        if path.suffix in EXTENSIONS and not hidden and path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
            yield path


def lines_at(repository: Path, commit: str) -> frozenset[str]:
    """All lines of the source files of a commit, without their indentation."""
    import pygit2

    try:
        git = pygit2.Repository(str(repository), pygit2.enums.RepositoryOpenFlag.NO_SEARCH)
        trees = [git.revparse_single(commit).peel(pygit2.Tree)]
    except (pygit2.GitError, KeyError, ValueError):
        raise ValueError(f"--since: {repository} is no git repository with a commit {commit}") from None
    lines: set[str] = set()
    while trees:
        for entry in trees.pop():
            if isinstance(entry, pygit2.Tree):
                trees.append(entry)
            elif isinstance(entry, pygit2.Blob) and Path(entry.name or "").suffix in EXTENSIONS:
                lines.update(map(str.strip, entry.data.decode("utf-8", "replace").splitlines()))
    return frozenset(lines)


def lines_worth_asking(text: str, known: frozenset[str] = frozenset()) -> Iterator[int]:
    """Indices of the lines that are code of some length, no comment, and not known."""
    for index, line in enumerate(text.split("\n")):
        code = line.strip()
        if (
            code not in known
            and len(code) >= 4
            and len(line) <= MAX_LINE
            and not code.startswith(("#", "//", "*", "/*"))
        ):
            yield index


def line_hole(path: str, text: str, index: int) -> Hole:
    """A line without its indentation."""
    lines = text.split("\n")
    line = lines[index]
    start = sum(len(before) + 1 for before in lines[:index]) + len(line) - len(line.lstrip())
    return span_hole(path, text, start, start + len(line.lstrip()), to_line_end=True)


def span_hole(path: str, text: str, start: int, end: int, *, to_line_end: bool = False) -> Hole:
    """Any characters `[start, end)`."""
    return Hole(
        name=f"{path}:{text.count(chr(10), 0, start) + 1}",
        prefix=text[max(0, start - CONTEXT_CHARACTERS) : start],
        suffix=text[end : end + CONTEXT_CHARACTERS],
        missing=text[start:end],
        to_line_end=to_line_end,
    )


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace").replace("\r\n", "\n")
