"""What every stand-in for the engine has in common: a result of given tokens, and a client that is ready at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diffill.model.client import EngineStatus
from diffill.model.request import Alternative, DecodeResult, Finish, pack_ids


def result_of(
    tokens: Sequence[int],
    *,
    finish: Finish = "eom",
    score: float = 0.0,
    passes: int = 1,
    alternatives: Sequence[Alternative] = (),
) -> DecodeResult:
    """An answer that took no time."""
    return DecodeResult(
        tokens=pack_ids(tokens),
        finish=finish,
        score=score,
        steps=passes,
        forward_passes=passes,
        cached_tokens=0,
        prefill_ms=0.0,
        denoise_ms=0.0,
        alternatives=tuple(alternatives),
    )


class ReadyClient:
    """All of `lsp_server.warm_engine.Client` but for `decode`."""

    on_restart: Callable[[], None] = staticmethod(lambda: None)

    async def wait_ready(self, on_status: Callable[[EngineStatus], None] | None = None) -> EngineStatus:
        return EngineStatus(state="ready", progress=1.0, detail="", model=None, pid=1, uptime_s=0.0, requests=0)

    async def close(self) -> None: ...
