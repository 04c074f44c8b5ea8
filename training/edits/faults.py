"""Faults put into correct code: which there are in a file, one at a time, none much more often than another."""

from __future__ import annotations

import collections
import functools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tree_sitter import Node, Tree

from ..syntax import walk
from .change import Change, changes_between, split_lines

Edit = tuple[int, int, bytes]
"""Replace the bytes `[start, end)`."""


@dataclass(kw_only=True)
class Surroundings:
    """What a fault may be made from besides its own node."""

    source: bytes
    node: Node
    generator: random.Random

    @functools.cached_property
    def names(self) -> tuple[bytes, ...]:
        """Names used in the same function, in order, each once."""
        return names_near(self.node, self.source)


Make = Callable[[Node, Surroundings], Edit | None]


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """One way to go wrong: where it can happen, and how."""

    nodes: frozenset[str]
    """Types of syntax nodes."""
    make: Make


Catalogue = Mapping[str, FaultKind]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A file with one fault in it, as the change that repairs it."""

    name: str
    repair: Change
    faulty: str
    """The whole file with the fault."""


def kind(*nodes: str, make: Make) -> FaultKind:
    return FaultKind(nodes=frozenset(nodes), make=make)


def put_faults(
    text: str, tree: Tree, catalogue: Catalogue, generator: random.Random, *, count: int, region_lines: int
) -> Iterator[Fault]:
    """Up to `count` different faults of a file, their names drawn evenly from those that it has places for."""
    source = text.encode()
    places = _places(tree.root_node, catalogue)
    lines = split_lines(text)
    seen: set[Edit] = set()
    while count and places:
        name = generator.choice(sorted(places))
        edit = _edit(places[name], catalogue[name], source, generator)
        if not places[name]:
            del places[name]
        if edit is None or edit in seen:
            continue
        seen.add(edit)
        faulty = (source[: edit[0]] + edit[2] + source[edit[1] :]).decode(errors="replace")
        repairs = list(changes_near(split_lines(faulty), lines))
        if len(repairs) == 1 and len(repairs[0].before) <= region_lines:
            count -= 1
            yield Fault(name=name, repair=repairs[0], faulty=faulty)


def changes_near(before: list[str], after: list[str]) -> Iterator[Change]:
    """As `changes_between`, for files that differ in one place: what they share at both ends is not compared."""
    first = 0
    while first < min(len(before), len(after)) and before[first] == after[first]:
        first += 1
    last = 0
    while last < min(len(before), len(after)) - first and before[-1 - last] == after[-1 - last]:
        last += 1
    for change in changes_between(before[first : len(before) - last], after[first : len(after) - last]):
        yield Change(lines=after, start=first + change.start, end=first + change.end, before=change.before)


def names_near(node: Node, source: bytes) -> tuple[bytes, ...]:
    """Names of the function around a node, or of the statement when there is none."""
    scope = node
    while scope.parent is not None and not scope.type.startswith(("function", "method", "arrow_function")):
        scope = scope.parent
    if scope.parent is None:
        return ()
    found = (part for part in walk(scope) if part.type in ("identifier", "property_identifier"))
    return tuple(dict.fromkeys(source[part.start_byte : part.end_byte] for part in found))


def _edit(places: list[Node], fault: FaultKind, source: bytes, generator: random.Random) -> Edit | None:
    """The fault at the first place, in random order, where it can be; those that were tried are taken out."""
    while places:
        node = places.pop(generator.randrange(len(places)))
        edit = fault.make(node, Surroundings(source=source, node=node, generator=generator))
        if edit is not None and source[edit[0] : edit[1]] != edit[2]:
            return edit
    return None


def _places(root: Node, catalogue: Catalogue) -> dict[str, list[Node]]:
    names_of: dict[str, list[str]] = collections.defaultdict(list)
    for name, fault in catalogue.items():
        for node_type in fault.nodes:
            names_of[node_type].append(name)
    places: dict[str, list[Node]] = collections.defaultdict(list)
    for node in walk(root):
        for name in names_of.get(node.type, ()):
            places[name].append(node)
    return dict(places)
