"""A bar on a terminal while cases are judged: cases per second, the time left and how many passed so far."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def case_bar(total: int) -> Iterator[Callable[[Any], None]]:
    """Yields what is called with every judged case; one without `passed` counts as done only."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        started, done, passed = time.monotonic(), 0, 0

        def show(result: Any) -> None:
            nonlocal done, passed
            done, passed = done + 1, passed + getattr(result, "passed", False)
            rate = done / (time.monotonic() - started)
            progress.update(bar, completed=done, description=f"{passed} passed, {rate:.1f} cases/s")

        yield show
