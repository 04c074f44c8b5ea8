"""What is shown on standard error while repairs are looked for."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .block_view import printable

if TYPE_CHECKING:
    from diffill.lsp_server.repair.repair import Attempt


class RepairProgress:
    """A bar over the faults, with the candidates tried for the present one; on a terminal only."""

    def __init__(self, faults: int) -> None:
        self.refused = ""
        """Why the last candidate for the present fault was refused."""
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=faults)
        self._what = ""
        self._begun = 0

    def __enter__(self) -> RepairProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, what: str) -> None:
        """The next fault."""
        self._what, self.refused = printable(what), ""
        self._bar.update(self._task, description=self._what, completed=self._begun)
        self._begun += 1

    def report(self, attempt: Attempt) -> None:
        self.refused = attempt.refused
        self._bar.update(self._task, description=f"{self._what}: candidate {attempt.tried}")
