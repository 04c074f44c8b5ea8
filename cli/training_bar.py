"""The progress of a training run, and its early end by a signal."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def training_bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    """A callback for the trainer's records; SIGINT and SIGTERM end the run, which keeps what it learned.

    Of several processes of one run the leading one draws.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from diffill.training.processes import leads
    from diffill.training.trainer import Interrupted

    # Set by hand: a job that a shell puts in the background starts with SIGINT ignored, and could not be ended gently.
    asked_to_stop: list[int] = []
    before = {
        number: signal.signal(number, lambda caught, frame: asked_to_stop.append(caught))
        for number in (signal.SIGINT, signal.SIGTERM)
    }

    columns = (BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with contextlib.ExitStack() as stack:
        for number, handler in before.items():
            stack.callback(signal.signal, number, handler or signal.SIG_DFL)
        bar = Progress(*columns, console=Console(stderr=True), refresh_per_second=1, disable=not leads())
        progress = stack.enter_context(bar)
        task = progress.add_task("measuring", total=1.0)

        def show(record: dict[str, Any]) -> None:
            losses = "  ".join(f"{name} {record[name]:.3f}" for name in ("causal", "denoising") if name in record)
            speed = f"{record['tokens_per_second']:.0f} tokens/s"
            if "mfu" in record:
                speed += f"  MFU {record['mfu']:.1%}"
            progress.update(task, completed=record["progress"], description=f"step {record['step']}  {losses}  {speed}")
            if asked_to_stop:
                raise Interrupted

        yield show
