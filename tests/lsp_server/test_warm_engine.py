"""How the server attaches to the engine, with a client and a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from diffill.lsp_server.warm_engine import RETRY_SECONDS, Client, Readiness, WarmEngine
from diffill.model.client import EngineError, EngineStatus
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import DecodeRequest, DecodeResult, ModelInfo, Step
from diffill.model.tokenizer import Tokenizer

MODEL = ModelInfo(
    name="tiny", hash="0" * 12, adapter=None, device="cpu", vocabulary_size=10, block_size=4, parameters=1
)


def status(progress: float, state: Literal["loading", "ready"] = "loading") -> EngineStatus:
    return EngineStatus(
        state=state, progress=progress, detail="the weights", model=MODEL, pid=1, uptime_s=0.0, requests=0
    )


class StandIn:
    """Fails as often as it is told to, then loads in two steps."""

    def __init__(self, failures: int) -> None:
        self.on_restart: Callable[[], None] = lambda: None
        self.failures = failures
        self.attempts = 0
        self.closed = False

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        raise NotImplementedError

    async def wait_ready(self, on_status: Callable[[EngineStatus], None] | None = None) -> EngineStatus:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise EngineError("unavailable", "the checkpoint\nis damaged")
        assert on_status is not None
        for progress in (0.25, 0.25, 1.0):
            on_status(status(progress))
        return status(1.0, "ready")

    async def close(self) -> None:
        self.closed = True


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0.001)


def engine_of(client: StandIn, seen: list[Readiness], clock: Clock) -> WarmEngine:
    tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)

    def connect() -> tuple[Client, Tokenizer]:
        return client, tokenizer

    return WarmEngine(connect, seen.append, clock)


def test_every_change_is_told_once() -> None:
    async def scenario() -> None:
        seen: list[Readiness] = []
        client = StandIn(failures=0)
        engine = engine_of(client, seen, Clock())
        engine.start()
        engine.start()  # while it loads, a second start does nothing
        assert engine.ready() is None
        await settle()
        assert engine.ready() is not None and client.attempts == 1
        assert [(change.state, change.percentage) for change in seen] == [
            ("loading", 0),
            ("loading", 25),
            ("loading", 99),
            ("ready", 100),
        ]
        assert seen[-1].message == "tiny on cpu"
        await engine.close()
        assert client.closed

    asyncio.run(scenario())


def test_a_failed_engine_is_tried_again_when_asked_but_not_at_every_key() -> None:
    async def scenario() -> None:
        seen: list[Readiness] = []
        clock, client = Clock(), StandIn(failures=1)
        engine = engine_of(client, seen, clock)
        engine.start()
        await settle()
        assert seen[-1].state == "failed" and seen[-1].message.endswith("the checkpoint is damaged")
        clock.now += RETRY_SECONDS - 1
        assert engine.ready() is None
        await settle()
        assert client.attempts == 1
        clock.now += 1
        assert engine.ready() is None
        await settle()
        assert client.attempts == 2 and engine.ready() is not None

    asyncio.run(scenario())


def test_whoever_asks_in_person_waits_while_it_loads_and_is_told_when_it_cannot() -> None:
    async def scenario() -> None:
        clock = Clock()
        engine = engine_of(StandIn(failures=1), [], clock)
        assert await engine.when_ready() is None  # nobody has started it
        engine.start()
        assert await engine.when_ready() is None and engine.readiness.state == "failed"
        clock.now += RETRY_SECONDS
        assert await engine.when_ready() is not None

    asyncio.run(scenario())


def test_one_who_stops_waiting_leaves_the_others_waiting() -> None:
    async def scenario() -> None:
        engine = engine_of(StandIn(failures=0), [], Clock())
        engine.start()
        impatient, patient = (asyncio.ensure_future(engine.when_ready()) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient is not None

    asyncio.run(scenario())


def test_an_engine_that_ended_is_started_again_by_whoever_asks_and_the_status_says_so() -> None:
    async def scenario() -> None:
        seen: list[Readiness] = []
        client = StandIn(failures=0)
        engine = engine_of(client, seen, Clock())
        engine.start()
        await settle()
        del seen[:]
        client.on_restart()
        assert engine.ready() is not None  # whoever asks may wait, and is not sent away
        await settle()
        assert client.attempts == 2
        assert [change.state for change in seen] == ["loading", "loading", "loading", "ready"]

    asyncio.run(scenario())


def test_a_connection_that_cannot_even_be_made_is_a_state() -> None:
    async def scenario() -> None:
        seen: list[Readiness] = []

        def connect() -> tuple[Client, Tokenizer]:
            raise ValueError("checkpoint: tokenizer.json is missing")

        engine = WarmEngine(connect, seen.append)
        engine.start()
        await settle()
        assert (seen[-1].state, seen[-1].message) == ("failed", "checkpoint: tokenizer.json is missing")
        await engine.close()

    asyncio.run(scenario())
