"""One decoding that is under way: several requests may wait for it, and it goes on a little when none does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .completion import Completion

GRACE_SECONDS = 0.25
"""An editor cancels one request and sends the next, which often can use the same answer."""


class Flight:
    """The work for a cursor at `offset` of revision `revision` of a document."""

    def __init__(
        self, *, revision: int, offset: int, surroundings: object, invoked: bool, grace: float | None = None
    ) -> None:
        self.revision = revision
        self.offset = offset
        self.surroundings = surroundings
        """What besides the document the answer depends on: equal for requests that may share it."""
        self.invoked = invoked
        self.begun = ""
        """What of the answer is known already."""
        self._grace = GRACE_SECONDS if grace is None else grace
        self._waiting = 0
        self._task: asyncio.Task[list[Completion] | None] | None = None
        self._expiry: asyncio.TimerHandle | None = None

    def start(self, work: Coroutine[Any, Any, list[Completion] | None], on_end: Callable[[Flight], None]) -> None:
        """Begin, and call `on_end` when there is nothing more to wait for."""
        self._task = asyncio.ensure_future(work)
        self._task.add_done_callback(lambda task: on_end(self))
        self._set_expiry()

    def fits(self, typed: str) -> bool:
        """Whether its answer may still begin with `typed`, as far as one can know."""
        return self.begun.startswith(typed) or typed.startswith(self.begun)

    async def result(self) -> list[Completion] | None:
        """Wait. None when the work was cancelled or the engine let it go."""
        if self._task is None:
            return None
        self._waiting += 1
        if self._expiry is not None:
            self._expiry.cancel()
        try:
            await asyncio.wait({self._task})
        finally:
            self._waiting -= 1
            self._set_expiry()
        return None if self._task.cancelled() else self._task.result()

    def cancel(self) -> None:
        """Stop the work."""
        if self._expiry is not None:
            self._expiry.cancel()
        if self._task is not None:
            self._task.cancel()

    def _set_expiry(self) -> None:
        if self._waiting == 0 and self._task is not None and not self._task.done():
            self._expiry = asyncio.get_running_loop().call_later(self._grace, self._expire)

    def _expire(self) -> None:
        if self._waiting == 0:
            self.cancel()
