"""Whether the editor that started the server is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

POLL_SECONDS = 1.0


async def watch_parent(process_id: int, on_gone: Callable[[], None]) -> None:
    """Call `on_gone` when the process ends.

    A process that cannot be seen from the start is left alone: the editor runs outside this container, and the end of
    standard input will tell.
    """
    import psutil

    try:
        process = psutil.Process(process_id)
    except psutil.Error:
        return
    while _is_alive(process):
        await asyncio.sleep(POLL_SECONDS)
    on_gone()


def _is_alive(process: psutil.Process) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
