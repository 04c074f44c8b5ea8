"""What is shown on standard error while the engine starts and loads its weights."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from diffill.model.client import EngineStatus


class LoadingBar:
    """A progress bar that appears only when there is something to wait for, and only on a terminal."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> LoadingBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, status: EngineStatus) -> None:
        if status.state != "loading" or not sys.stderr.isatty():
            return
        if self._bar is None:
            # Imported here: a warm engine needs no bar, and the import would cost more than its answer.
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("loading the model"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("load", total=1.0)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=status.progress)
