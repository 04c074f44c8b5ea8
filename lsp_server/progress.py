"""A progress bar in the editor, where the editor has them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import Future

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.progress import Progress

log = logging.getLogger(__name__)


class ProgressBar:
    """One bar from 0 to 100. Everything before the editor has agreed to show it is kept to its latest value.

    With `on_cancel` the bar has a button for it.
    """

    def __init__(self, progress: Progress, title: str, on_cancel: Callable[[], object] | None = None) -> None:
        self._progress = progress
        self._title = title
        self._on_cancel = on_cancel
        self._token = str(uuid.uuid4())
        self._latest: tuple[int, str] = (0, "")
        self._shown = False
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        try:
            await self._progress.create_async(self._token)
        except JsonRpcException:
            log.debug("the editor shows no progress")
            return
        percentage, message = self._latest
        self._progress.begin(
            self._token,
            types.WorkDoneProgressBegin(
                title=self._title,
                percentage=percentage,
                message=message or None,
                cancellable=self._on_cancel is not None,
            ),
        )
        self._progress.tokens[self._token].add_done_callback(self._ended)
        self._shown = True

    def _ended(self, state: Future[None]) -> None:
        """pygls cancels this future when the person stops the work in the editor."""
        if state.cancelled() and self._on_cancel is not None:
            self._on_cancel()

    def report(self, percentage: int, message: str) -> None:
        """Move the bar."""
        if (percentage, message) == self._latest:
            return
        self._latest = (percentage, message)
        if self._shown:
            value = types.WorkDoneProgressReport(percentage=percentage, message=message or None)
            self._progress.report(self._token, value)

    async def close(self, message: str) -> None:
        """Remove the bar, or give up asking for one."""
        self._opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._opening
        if self._shown:
            self._progress.end(self._token, types.WorkDoneProgressEnd(message=message or None))
        self._progress.tokens.pop(self._token, None)  # pygls keeps every token for ever
