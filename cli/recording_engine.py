"""The engine with a memory: what it answered last, also when the use case showed nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffill.model.client import EngineClient
    from diffill.model.request import DecodeRequest, DecodeResult, Step


class RecordingEngine:
    """Passes requests on and keeps the last result."""

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self.result: DecodeResult | None = None

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        self.result = await self._client.decode(request, on_step=on_step)
        return self.result
