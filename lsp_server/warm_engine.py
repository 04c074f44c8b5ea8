"""The engine as the server holds it: attached in the background, its loading reported, asked again after a failure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from diffill.model.client import EngineStatus
    from diffill.model.request import DecodeRequest, DecodeResult, Step
    from diffill.model.tokenizer import Tokenizer

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0


class Client(Protocol):
    """What is used of `diffill.model.client.EngineClient`."""

    on_restart: Callable[[], None]

    async def decode(
        self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None
    ) -> DecodeResult: ...

    async def wait_ready(self, on_status: Callable[[EngineStatus], None] | None = None) -> EngineStatus: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """How far the model is loaded."""

    state: Literal["loading", "ready", "failed"]
    percentage: int
    message: str
    device: str = ""
    """Where the model runs; empty until it does."""


class WarmEngine:
    """Loads the tokenizer, attaches to the engine (which starts it when none runs) and tells `on_change` about it."""

    def __init__(
        self,
        connect: Callable[[], tuple[Client, Tokenizer]],
        on_change: Callable[[Readiness], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._on_change = on_change
        self._clock = clock
        self._connected: tuple[Client, Tokenizer] | None = None
        self._loading: asyncio.Task[None] | None = None
        self._failed_at = 0.0
        self._was_ready = False
        self.readiness = Readiness(state="loading", percentage=0, message="")

    def start(self) -> None:
        """Load in the background, unless that is going on already."""
        if self._loading is None or self._loading.done():
            self._loading = asyncio.ensure_future(self._load())

    def ready(self) -> tuple[Client, Tokenizer] | None:
        """What to decode with, or None. A failed engine is tried again, at most every `RETRY_SECONDS`.

        One that ended, killed or because nobody asked it anything for long, is started again by the client: whoever
        asks waits, and the status says so.
        """
        if self.readiness.state == "failed":
            if self._clock() - self._failed_at >= RETRY_SECONDS:
                self.start()
            return None
        if self._connected is None or not self._was_ready:
            return None
        return self._connected

    async def when_ready(self) -> tuple[Client, Tokenizer] | None:
        """The same for whoever asked for it in person: waits while the model loads. None when it cannot be had."""
        if self.ready() is None and self._loading is not None:
            await asyncio.wait([self._loading])
        return self.ready()

    async def _load(self) -> None:
        self._change(Readiness(state="loading", percentage=0, message="starting the engine"))
        try:
            if self._connected is None:
                # Importing numpy and reading the vocabulary take too long for the loop that answers the editor.
                self._connected = await asyncio.to_thread(self._connect)
            client, _ = self._connected
            client.on_restart = self.start
            status = await client.wait_ready(self._on_status)
        except Exception as error:  # no fault of the engine may reach the editor as anything but a state
            self._failed_at = self._clock()
            reason = " ".join(str(error).split()) or type(error).__name__
            log.error("the engine is not available: %s", reason)
            self._change(Readiness(state="failed", percentage=0, message=reason))
            return
        model = status.model
        name = f"{model.name} on {model.device}" if model else "ready"
        if model is not None and len(model.modes) == 1:
            log.info("every request is decoded as %s: the model has learned nothing else", model.modes[0])
        log.info("the engine is ready: %s", name)
        self._was_ready = True
        self._change(Readiness(state="ready", percentage=100, message=name, device=model.device if model else ""))

    def _on_status(self, status: EngineStatus) -> None:
        if status.state == "loading":
            self._change(
                Readiness(state="loading", percentage=min(99, int(status.progress * 100)), message=status.detail)
            )

    def _change(self, readiness: Readiness) -> None:
        if readiness != self.readiness:
            self.readiness = readiness
            self._on_change(readiness)

    async def close(self) -> None:
        """Let go of the engine, which goes on for other editors."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self._connected is not None:
            await self._connected[0].close()
