"""The engine as its clients see it: started on demand, waited for while it loads, restarted once when it dies."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from .channel import Channel, EngineError
from .engine_settings import EngineSettings
from .followed_adapter import FollowedAdapter, preparing
from .launch import Launch
from .request import DecodeRequest, DecodeResult, Step
from .wire import EngineStatus

__all__ = ["EngineClient", "EngineError", "EngineSettings", "EngineStatus"]

LISTEN_SECONDS = 60.0
"""A started process listens before it loads anything, so this is about a very busy machine."""
STOP_SECONDS = 10.0
MAX_RESTART_SECONDS = 30.0
FIRST_PAUSE, MAX_PAUSE = 0.01, 0.25

_Answer = TypeVar("_Answer")


class RestartDelay:
    """How long to leave an engine that keeps failing alone: 0, then 1, 2, 4 … 30 s, until it works again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0
        self._blamed: object = None

    def failed(self, cause: object) -> None:
        """Count a failure; many requests lost by one `cause` count once."""
        if cause is self._blamed:
            return
        self._blamed = cause
        self._failures += 1
        if self._failures > 1:
            self._until = self._clock() + min(MAX_RESTART_SECONDS, 2.0 ** (self._failures - 2))

    def worked(self) -> None:
        self._failures, self._until = 0, 0.0

    def remaining(self) -> float:
        """Seconds until the next start is due, 0 when it is."""
        return max(0.0, self._until - self._clock())


class EngineClient:
    """One connection to the engine of `settings`, opened when it is first needed. Belongs to one event loop."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._directory = settings.runtime_directory()
        self._channel: Channel | None = None
        self._opening: asyncio.Task[Channel] | None = None
        self._delay = RestartDelay()
        self._adapter = FollowedAdapter(settings.adapter, settings.place, self._prepared)
        self.on_restart: Callable[[], None] = lambda: None
        """Called when a request found that the engine which served us has ended, and another is being started."""

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        """Fill one span. Starts the engine, waits while it loads; cancelling the awaiting task cancels the request.

        With `on_step` the request is traced; after a restart its steps begin again at forward pass 1.

        Raises:
            EngineError: the engine refused, or died on this request and again on its repetition.
        """

        self._adapter.look()
        if self._adapter.current is not None and not request.adapter:
            request = msgspec.structs.replace(request, adapter=str(self._adapter.current))
        return await self._decode(request, on_step)

    async def _decode(self, request: DecodeRequest, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        async def fill(channel: Channel) -> DecodeResult:
            return await channel.decode(request, on_step=on_step)

        result = await self._with_restart(fill)
        self._delay.worked()
        return result

    async def _prepared(self, adapter: Path) -> str | None:
        """Make the engine take an adapter in; its name and hash."""
        return (await self._decode(preparing(adapter))).adapter

    async def wait_ready(self, on_status: Callable[[EngineStatus], None] | None = None) -> EngineStatus:
        """Start the engine if there is none and wait until it has decoded; `on_status` hears about the progress.

        With an adapter, wait for that too; it is the one that the status names.

        Raises:
            EngineError: `unavailable` with the reason when it cannot load, `engine_dead` when it died twice,
                `bad_request` when the adapter is broken or made for another base.
        """

        async def watch(channel: Channel) -> EngineStatus:
            pause = FIRST_PAUSE
            while True:
                status = await channel.status()
                if on_status is not None:
                    on_status(status)
                if status.state == "failed":
                    raise EngineError("unavailable", status.detail)
                if status.state == "ready":
                    return status
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, MAX_PAUSE)

        status = await self._with_restart(watch)
        if self._adapter.current is None or status.model is None:
            return status
        adapter = await self._prepared(self._adapter.current)
        return msgspec.structs.replace(status, model=msgspec.structs.replace(status.model, adapter=adapter))

    async def status(self) -> EngineStatus | None:
        """What the engine is doing, or None when none runs. Never starts one.

        Raises:
            EngineError: `unavailable` when what runs there cannot be talked to.
        """
        channel = await self._existing()
        if channel is None:
            return None
        try:
            return await channel.status()
        except EngineError as error:
            if error.code == "engine_dead":
                return None
            raise
        finally:
            await self._leave(channel)

    async def stop(self) -> bool:
        """End the engine process, whoever started it; True once it is gone, False when none ran.

        Raises:
            EngineError: `unavailable` when what runs there cannot be talked to or does not end.
        """
        channel = await self._existing()
        if channel is None:
            return False
        try:
            await asyncio.wait_for(channel.stop(), STOP_SECONDS)
        except asyncio.TimeoutError:
            raise EngineError(
                "unavailable", f"the engine (process {channel.pid}) did not stop within {STOP_SECONDS:g} s"
            ) from None
        finally:
            await self._leave(channel)
        return True

    async def close(self) -> None:
        """Disconnect. The engine stays for the next client until it has been idle long enough."""
        await self._adapter.close()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._channel is not None:
            await self._channel.close()

    async def _with_restart(self, work: Callable[[Channel], Awaitable[_Answer]]) -> _Answer:
        """Do something with a connected engine, and once more with a new one if it dies meanwhile."""
        retry = True
        while True:
            channel = None
            try:
                channel = await self._connected()
                return await work(channel)
            except EngineError as error:
                if channel is not None and error.code in ("engine_dead", "unavailable"):
                    self._delay.failed(channel)
                if error.code != "engine_dead":
                    raise
                if channel is not None:
                    await channel.close()  # an engine that says it is dying may take a moment to end
                if not retry:
                    raise
                retry = False

    async def _connected(self) -> Channel:
        if self._channel is not None and not self._channel.closed:
            return self._channel
        if self._opening is None:
            # Its own task: when the request that caused it is cancelled, by the next keystroke for example, the start
            # goes on and serves the next request.
            self._opening = asyncio.get_running_loop().create_task(self._open_or_start())
            self._opening.add_done_callback(self._opened)
            if self._channel is not None:
                self.on_restart()
        return await asyncio.shield(self._opening)

    def _opened(self, opening: asyncio.Task[Channel]) -> None:
        self._opening = None
        if not opening.cancelled() and opening.exception() is None:
            self._channel = opening.result()

    async def _open_or_start(self) -> Channel:
        deadline = time.monotonic() + LISTEN_SECONDS
        pause = FIRST_PAUSE
        launch: Launch | None = None
        while (channel := await self._open()) is None:
            if launch is None:
                launch = await self._launch()
            elif launch.exit_status == 0:
                # Another process won the race to be the engine, or has not quite ended yet.
                launch = None
            elif launch.exit_status is not None:
                error = EngineError("unavailable" if launch.exit_status > 0 else "engine_dead", launch.explanation())
                self._delay.failed(launch)
                raise error
            if time.monotonic() > deadline:
                raise EngineError("unavailable", f"the engine did not listen within {LISTEN_SECONDS:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, MAX_PAUSE)
        return channel

    async def _launch(self) -> Launch:
        if wait := self._delay.remaining():
            raise EngineError("unavailable", f"the engine keeps failing; the next start is due in {wait:.0f} s")
        try:
            return await asyncio.to_thread(Launch, self.settings)
        except ValueError as error:
            raise EngineError("unavailable", str(error)) from None

    async def _open(self) -> Channel | None:
        """A connection to the engine that runs, if one does."""
        if not hasattr(socket, "AF_UNIX"):
            raise EngineError("unavailable", "the engine needs Unix sockets, which this system does not have")
        try:
            self._directory.check()
            return await Channel.open(self._directory.socket)
        except ValueError as error:
            raise EngineError("unavailable", str(error)) from None
        except PermissionError:
            raise EngineError("unavailable", f"directory: {self._directory.socket} may not be opened") from None
        except OSError:
            return None

    async def _existing(self) -> Channel | None:
        if self._channel is not None and not self._channel.closed:
            return self._channel
        return await self._open()

    async def _leave(self, channel: Channel) -> None:
        if channel is not self._channel:
            await channel.close()
