"""The adapter that a client's requests name: the one chosen for its workspace, from the moment the engine has it ready.

No request waits for another choice: until the new adapter is prepared in the engine, the old one answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from .adapter_store import AdapterStore
from .request import DecodeRequest, pack_ids
from .tokenizer import MIDDLE, PREFIX, SUFFIX

LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class FollowedAdapter:
    """Belongs to one event loop."""

    def __init__(
        self,
        adapter: Path | None,
        place: Path | None,
        prepare: Callable[[Path], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            adapter: at first.
            place: whose choice is followed; the adapter stays without one.
            prepare: makes the engine take an adapter in; raises when it cannot.
        """
        self.current = adapter.absolute() if adapter else None
        self._place, self._prepare, self._clock = place, prepare, clock
        self._chosen = self.current
        self._looked = clock()
        self._switch: asyncio.Task[None] | None = None

    def look(self) -> None:
        """See, at most every `LOOK_SECONDS`, whether another adapter is chosen now, and switch to it in time."""
        if self._place is None or self._clock() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._clock()
        try:
            chosen = AdapterStore().chosen(self._place)
        except ValueError as problem:
            logger.warning("the adapter stays: %s", problem)
            return
        if chosen != self._chosen:
            self._chosen = chosen
            if self._switch is not None:
                self._switch.cancel()
            self._switch = asyncio.get_running_loop().create_task(self._switch_to(chosen))

    async def close(self) -> None:
        if self._switch is not None:
            self._switch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._switch

    async def _switch_to(self, adapter: Path | None) -> None:
        try:
            if adapter is not None:
                await self._prepare(adapter)
        except Exception as problem:  # of the engine or of the adapter: what worked goes on
            logger.warning("the adapter stays: %s", problem)
            return
        self.current = adapter
        logger.info("the adapter is now %s", adapter.name if adapter else "none")


def preparing(adapter: Path) -> DecodeRequest:
    """A request that asks for nothing but the adapter."""
    return DecodeRequest(
        prompt=pack_ids([SUFFIX, PREFIX, MIDDLE]), max_tokens=0, adapter=str(adapter), priority="background"
    )
