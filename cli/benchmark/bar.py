"""A bar on a terminal while something is measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

_Item = TypeVar("_Item")


def bar(items: Sequence[_Item]) -> Iterable[_Item]:
    """The items, with a bar where there is a terminal."""
    console = Console(stderr=True)
    return track(items, "measuring", console=console, disable=not console.is_terminal)
