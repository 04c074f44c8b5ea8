"""Where a repair may write: growing places around a fault, from the reported characters to the enclosing function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from diffill.model.code.span import Kind, leading_space, line_end, line_start
from diffill.model.code.syntax import Syntax

MAX_LINES = 24
MAX_CHARACTERS = 2_000
"""A longer place is not written anew: the model would lose its way, and the person the overview."""
_IMPORT = re.compile(r"^(import|from) [^\n(]*(\([^)]*\)[^\n]*)?(\n|$)", re.MULTILINE)
_NEED = 300
"""Characters before a name that tell what it is."""
_WORD = re.compile(r"\w+|[^\w\s]+")
FUNCTIONS = {
    "function_definition", "function_declaration", "function_expression", "generator_function",
    "generator_function_declaration", "arrow_function", "method_definition", "method_declaration", "function_item",
    "constructor_declaration", "decorated_definition", "method", "singleton_method",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """Characters from `start` to `end`, to be written anew."""

    start: int
    end: int
    kind: Kind


def holes(text: str, start: int, end: int, syntax: Syntax | None) -> list[Place]:
    """Places to fill in without seeing what is there, smallest first.

    The reported characters; with the word or sign before them; from there to the end of the line; the whole line; the
    enclosing statement.
    """
    first, last = line_start(text, start), line_end(text, start)
    content = first + len(leading_space(text[first:last]))
    start = min(max(start, content), last)
    places = [
        Place(start=start, end=max(start, min(end, last)), kind="line"),
        Place(start=_word_before(text, content, start), end=max(start, min(end, last)), kind="line"),
        Place(start=start, end=last, kind="line"),
        Place(start=content, end=last, kind="line"),
    ]
    for region in regions(text, start, end, syntax):
        indented = region.start + len(leading_space(text[region.start : region.end]))
        if text.count("\n", indented, region.end):
            places.append(Place(start=indented, end=region.end, kind="statement"))
    return list(dict.fromkeys(place for place in places if _is_small(text, place.start, place.end)))


def _word_before(text: str, content: int, start: int) -> int:
    """Where the word or sign before `start` begins; not before `content`."""
    words = list(_WORD.finditer(text, content, start))
    return words[-1].start() if words else start


def regions(text: str, start: int, end: int, syntax: Syntax | None) -> list[Place]:
    """Whole lines to revise, from the statement to the function; the last line end is not part of them."""
    found = [(line_start(text, start), line_end(text, max(start, end - 1)))]
    for node_start, node_end in _enclosing(text, start, end, syntax):
        found.append((line_start(text, node_start), line_end(text, node_end)))
    return [
        Place(start=first, end=last, kind="block")
        for first, last in dict.fromkeys(found)
        if _is_small(text, first, last)
    ]


def _is_small(text: str, start: int, end: int) -> bool:
    return end - start <= MAX_CHARACTERS and text.count("\n", start, end) < MAX_LINES


def import_place(text: str, start: int) -> tuple[str, str] | None:
    """What stands before a further import line of a Python file, and the code at `start` that needs it.

    The code is taken from far below, so that a model sees both at once. None where the file imports nothing.
    """
    imports = [match.end() for match in _IMPORT.finditer(text, 0, start)]
    if not imports:
        return None
    return text[: imports[-1]], text[line_start(text, max(0, start - _NEED)) : line_end(text, start)]


def import_spot(text: str, line: str, start: int) -> int:
    """Where an import line belongs: before the first of its kind that sorts after it, else behind the last."""
    imports = list(_IMPORT.finditer(text, 0, start))
    keyword = line.split(" ", 1)[0]
    later = (match for match in imports if match.group(1) == keyword and match.group().casefold() > line.casefold())
    first = next(later, None)
    return first.start() if first is not None else imports[-1].end() if imports else 0


def _enclosing(text: str, start: int, end: int, syntax: Syntax | None) -> Iterator[tuple[int, int]]:
    """The nodes around a range that have their lines to themselves, up to a function."""
    if syntax is None:
        return
    node = syntax.node_over(start, max(start, end))
    while node is not None and node.parent is not None:
        node_start, node_end = syntax.start_of(node), syntax.end_of(node)
        before = text[line_start(text, node_start) : node_start]
        after = text[node_end : line_end(text, node_end)]
        if not before.strip() and not after.strip(" \t;,)"):
            yield node_start, node_end
        if node.type in FUNCTIONS:
            return
        node = node.parent
