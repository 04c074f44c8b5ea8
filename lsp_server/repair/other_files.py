"""Where in other files a change is due: in those that import what it renamed or widened, and in passages like it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from diffill.model.code.span import line_end, line_start
from diffill.model.code.syntax import Syntax

from ..documents import Document
from ..ignored import path_of
from ..imports import HEAD_CHARACTERS, candidates, imports
from ..recent_changes import Change
from .places import Place
from .sites import MAX_SITES, Pattern, Sites, calls_of, is_prose, widened_function

_DEFINITION = re.compile(
    r"(?:export\s+)?(?:default\s+)?(?:abstract\s+)?(?:async\s+)?(?:def|class|function\*?|const|let|var|interface|type|enum)\s+"
    r"([^\W\d]\w*)|([^\W\d]\w*)\s*(?::[^=\n]+)?=(?!=)"
)
"""A definition that other files can import: it is not indented."""


@dataclass(frozen=True, kw_only=True)
class SitesElsewhere:
    """Places in another document."""

    document: Document
    sites: Sites
    is_imported: bool
    """It imports what was changed from the file that was changed, so the name there is no other one."""


def renamed_definition(text: str, change: Change) -> bool:
    """Whether the change renamed something that other files may import."""
    start = line_start(text, change.start)
    match = _DEFINITION.match(text, start, line_end(text, start))
    if match is None or not change.old.isidentifier():
        return False
    return match.span(match.lastindex or 0) == (change.start, change.end)


def changed_name(document: Document, change: Change) -> str:
    """What other files may import of which the change is due there: a function's parameters, or a name as it was."""
    syntax = Syntax.parse(document.text, document.language)
    widened = widened_function(document.text, change, syntax) if syntax is not None else ""
    return widened or (change.old if renamed_definition(document.text, change) else "")


def find_elsewhere(
    document: Document, change: Change, others: Iterable[Document], roots: list[Path]
) -> Iterator[SitesElsewhere]:
    """The places in `others` where `change` to `document` is due.

    Args:
        roots: folders that absolute modules are searched in.
    """
    name = changed_name(document, change)
    widened = name if name != change.old else ""
    pattern = Pattern.of(document.text, change, Syntax.parse(document.text, document.language))
    for other in others:
        content = other.text
        tree = Syntax.parse(content, other.language) if name or pattern else None
        if tree is None:
            continue
        is_imported = bool(name) and _imports(other, name, document, roots)
        if is_imported and widened:
            spots, new = list(calls_of(widened, content, tree)), ""
        elif is_imported:
            matches = re.finditer(rf"(?<![\w.]){re.escape(name)}(?!\w)", content)
            spots, new = [match.span() for match in matches if not is_prose(tree, match.start())], change.new
        elif pattern is not None and not (pattern.is_name and pattern.neighbours[0] != "."):
            spots, new = list(islice(pattern.spots(content, tree), MAX_SITES)), pattern.new
        else:
            continue  # a name of its own file: elsewhere it is another one
        if spots:
            places = tuple(Place(start=start, end=end, kind="line") for start, end in spots)
            yield SitesElsewhere(document=other, sites=Sites(places=places, text=new), is_imported=is_imported)


def _imports(importer: Document, name: str, imported: Document, roots: list[Path]) -> bool:
    """Whether `importer` imports `name` from the file of `imported`."""
    path, target = path_of(importer.uri), path_of(imported.uri)
    if path is None or target is None:
        return False
    return any(
        name in found.names and target in candidates(found.module, path, roots, importer.language)
        for found in imports(importer.content.slice(0, HEAD_CHARACTERS), importer.language)
    )
