"""A change to one run of lines of a file, and the pair that is cut around it."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
from tree_sitter import Tree

from ..syntax import enclosing_lines
from .pair import EditPair, Kind

LINE = re.compile(r"[^\n]*\n|[^\n]+")
WIDEN_BY_SYNTAX, WIDEN_BY_LINES = 0.45, 0.2
"""Shares of regions that are a node around the change, and that are some lines more; the rest is the change itself."""


class CutConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much a pair holds."""

    region_lines: int = 24
    region_characters: int = 1_100
    prefix_characters: int = 2_400
    suffix_characters: int = 900


@dataclass(frozen=True, kw_only=True)
class Change:
    """Lines `[start, end)` of the file after the change stand where `before` stood; the other lines are as after."""

    lines: Sequence[str]
    """The whole file after the change, each line with its newline."""
    start: int
    end: int
    before: tuple[str, ...]

    def document_before(self) -> str:
        return "".join([*self.lines[: self.start], *self.before, *self.lines[self.end :]])


def split_lines(text: str) -> list[str]:
    """Lines with their newlines; only a line feed ends one, as in git and in editors."""
    return LINE.findall(text)


def changes_between(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    """Every changed run, each as if all others had been made already."""
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    for tag, a_start, a_end, b_start, b_end in matcher.get_opcodes():
        if tag != "equal":
            yield Change(lines=after, start=b_start, end=b_end, before=tuple(before[a_start:a_end]))


def cut(
    change: Change,
    region: tuple[int, int],
    config: CutConfig,
    *,
    instruction: str,
    language: str,
    kind: Kind,
    source: str,
    label: str = "",
) -> EditPair | None:
    """The pair of a change and a region of lines of the file after it; None when it is over the limits."""
    start, end = region
    before = "".join([*change.lines[start : change.start], *change.before, *change.lines[change.end : end]])
    after = "".join(change.lines[start:end])
    longest = max(before, after, key=len)
    if not before.strip() or len(longest) > config.region_characters:
        return None
    if max(before.count("\n"), after.count("\n")) > config.region_lines:
        return None
    return EditPair(
        prefix=_last_lines(change.lines[:start], config.prefix_characters),
        before=before,
        after=after,
        suffix=_first_lines(change.lines[end:], config.suffix_characters),
        instruction=instruction,
        language=language,
        kind=kind,
        source=source,
        label=label,
    )


def widened(change: Change, config: CutConfig, generator: random.Random, tree: Tree | None) -> tuple[int, int]:
    """A region around a change: the change alone, some lines more, or a node of the syntax of the file after it."""
    start, end = smallest_region(change, generator)
    draw = generator.random()
    if draw < WIDEN_BY_SYNTAX and tree is not None:
        around = [lines for lines in enclosing_regions(change, (start, end), config, tree) if lines != (start, end)]
        if around:
            return generator.choice(around)
    elif draw < WIDEN_BY_SYNTAX + WIDEN_BY_LINES:
        return max(0, start - generator.randint(0, 3)), min(len(change.lines), end + generator.randint(0, 3))
    return start, end


def smallest_region(change: Change, generator: random.Random) -> tuple[int, int]:
    """The changed lines, or one more where an insertion or a deletion has none on one side.

    So there is something to press `Fix this` on, and something to keep.
    """
    return (change.start, change.end) if change.before and change.start < change.end else _one_more(change, generator)


def enclosing_regions(change: Change, region: tuple[int, int], config: CutConfig, tree: Tree) -> list[tuple[int, int]]:
    """Nodes around a region, smallest first, that are within the limit of lines before and after the change."""
    limit = config.region_lines - max(0, len(change.before) - (change.end - change.start))
    return enclosing_lines(tree, *region, limit=limit)


def _one_more(change: Change, generator: random.Random) -> tuple[int, int]:
    """The change and the line before or behind it, a written one if there is one."""
    above = change.start > 0 and bool(change.lines[change.start - 1].strip())
    below = change.end < len(change.lines) and bool(change.lines[change.end].strip())
    if above and (not below or generator.random() < 0.5):
        return change.start - 1, change.end
    if below:
        return change.start, change.end + 1
    return max(0, change.start - 2), min(len(change.lines), change.end + 2)


def _last_lines(lines: Sequence[str], characters: int) -> str:
    at, size = len(lines), 0
    while at and size + len(lines[at - 1]) <= characters:
        at -= 1
        size += len(lines[at])
    return "".join(lines[at:])


def _first_lines(lines: Sequence[str], characters: int) -> str:
    at = size = 0
    while at < len(lines) and size + len(lines[at]) <= characters:
        size += len(lines[at])
        at += 1
    return "".join(lines[:at])
