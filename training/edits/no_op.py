"""Pairs that must stay as they are: correct code, asked with nothing, with another commit's subject, or too late."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tree_sitter import Tree

from .change import Change, cut, widened
from .options import EditOptions
from .pair import EditPair


def untouched(
    lines: Sequence[str],
    options: EditOptions,
    generator: random.Random,
    *,
    tree: Tree | None,
    language: str,
    source: str,
    instruction: str = "",
    label: str = "nothing asked",
    at: tuple[int, int] | None = None,
) -> EditPair | None:
    """A region of a correct file around lines `at`, or around one to four lines anywhere."""
    start, end = at or _anywhere(lines, generator)
    change = Change(lines=lines, start=start, end=end, before=tuple(lines[start:end]))
    return cut(
        change,
        widened(change, options.cut, generator, tree),
        options.cut,
        instruction=instruction,
        language=language,
        kind="no-op",
        source=source,
        label=label,
    )


def _anywhere(lines: Sequence[str], generator: random.Random) -> tuple[int, int]:
    start = generator.choice([number for number, line in enumerate(lines) if line.strip()])
    return start, min(len(lines), start + generator.randint(1, 4))
