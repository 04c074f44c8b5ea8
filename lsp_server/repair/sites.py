"""Where else the change that was just made is due: the same words in the same role, and calls of a function."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ..recent_changes import Change
from .places import FUNCTIONS, Place

if TYPE_CHECKING:
    from diffill.model.code.syntax import Syntax

MAX_SITES = 16
MIN_CHARACTERS = 2
"""Shorter words are everywhere."""
_NEAR = 80
_NAME = re.compile(r"[^\W\d]\w*")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_PARAMETERS = {"parameters", "formal_parameters", "parameter_list"}
_CALLS = {"call", "call_expression", "method_invocation"}


@dataclass(frozen=True, kw_only=True)
class Sites:
    """Places that the same change is due at, nearest below the change first, and what it would write there."""

    places: tuple[Place, ...]
    text: str
    """Empty for calls of a function whose parameters changed: what to hand over there is for the model to say."""


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Words that were changed, and what stands beside them: the same elsewhere has the same role."""

    old: str
    new: str
    is_name: bool
    neighbours: tuple[str, str]
    is_prose: bool

    @classmethod
    def of(cls, text: str, change: Change, syntax: Syntax | None) -> Pattern | None:
        """The pattern of a change; None where it is too short or too long to be found again."""
        old, new = change.old.strip(), change.new.strip()
        if len(old) < MIN_CHARACTERS or "\n" in old or not new:
            return None
        at = change.start + change.new.index(new)
        is_name = _NAME.fullmatch(old) is not None
        return cls(
            old=old,
            new=new,
            is_name=is_name,
            neighbours=_neighbours(text, at, at + len(new), is_name),
            is_prose=is_prose(syntax, at),
        )

    def spots(self, text: str, syntax: Syntax | None) -> Iterator[tuple[int, int]]:
        """Where the words before the change stand in `text`."""
        for match in re.finditer(rf"(?<!\w){re.escape(self.old)}(?!\w)", text):
            start, end = match.span()
            if _neighbours(text, start, end, self.is_name) == self.neighbours and self.is_prose == is_prose(
                syntax, start
            ):
                yield start, end


def find_sites(text: str, change: Change, syntax: Syntax | None, *, limit: int = MAX_SITES) -> Sites | None:
    """Where else in `text`, which has the change already, it is due; None where nowhere."""
    if syntax is not None and (name := widened_function(text, change, syntax)):
        called = list(calls_of(name, text, syntax))
        return Sites(places=_ordered(called, change), text="") if called else None
    pattern = Pattern.of(text, change, syntax)
    if pattern is None:
        return None
    found = (spot for spot in pattern.spots(text, syntax) if not change.start <= spot[0] < change.end)
    spots = list(islice(found, limit))
    return Sites(places=_ordered(spots, change), text=pattern.new) if spots else None


def may_be_due(text: str, change: Change) -> bool:
    """Whether it is worth looking for sites; cheap, and asked for every cursor position."""
    line = text[max(0, change.start - _NEAR) : change.end + _NEAR]
    inserted = not change.old.strip(" ,") and bool(change.new.strip(" ,")) and "(" in line
    return inserted or find_sites(text, change, None, limit=1) is not None


def _neighbours(text: str, start: int, end: int, alone: bool) -> tuple[str, str]:
    """What makes two places alike: for a name, whether it is a member; for anything else, the tokens beside it."""
    # A few characters on each side, and not the line: its start is searched for through the whole file.
    before = _TOKEN.findall(text[max(0, start - _NEAR) : start].rpartition("\n")[2])[-1:]
    after = _TOKEN.findall(text[end : end + _NEAR].partition("\n")[0])[:1]
    if alone:
        return "." if before == ["."] else "", ""
    return "".join(before), "".join(after)


def is_prose(syntax: Syntax | None, offset: int) -> bool:
    """Whether a comment or string is at `offset`."""
    leaf = syntax.leaf_at(offset) if syntax is not None else None
    return leaf is not None and any(word in leaf.type for word in ("comment", "string"))


def widened_function(text: str, change: Change, syntax: Syntax) -> str:
    """The name of the function whose parameters got one more by the change; empty where it did something else."""
    if change.old.strip(" ,") or not change.new.strip(" ,"):
        return ""
    node = syntax.node_over(change.start, change.end)
    while node is not None and node.type not in _PARAMETERS:
        node = None if node.type in FUNCTIONS else node.parent
    name = node.parent.child_by_field_name("name") if node is not None and node.parent is not None else None
    return text[syntax.start_of(name) : syntax.end_of(name)] if name is not None else ""


def calls_of(name: str, text: str, syntax: Syntax) -> Iterator[tuple[int, int]]:
    """Empty places before the closing brackets of calls of a function."""
    for match in re.finditer(rf"(?<!\w){re.escape(name)}\s*\(", text):
        call = syntax.leaf_at(match.end() - 1)
        arguments = call.parent if call is not None else None
        if arguments is None or arguments.parent is None or arguments.parent.type not in _CALLS:
            continue
        closing = syntax.end_of(arguments) - 1
        if text[closing : closing + 1] == ")":
            yield closing, closing


def _ordered(found: list[tuple[int, int]], change: Change) -> tuple[Place, ...]:
    """From the change on downwards, then from the top."""
    below = [spot for spot in found if spot[0] >= change.start]
    above = [spot for spot in found if spot[0] < change.start]
    return tuple(Place(start=start, end=end, kind="line") for start, end in [*below, *above][:MAX_SITES])
