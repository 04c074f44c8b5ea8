"""The decoding thread and its queue, with a decoder that moves only when the test lets it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any

import msgspec
import pytest

from diffill.model.decoding_turn import Decoding, DeviceLost
from diffill.model.request import DecodeRequest, DecodeResult, ModelInfo, Priority, Step, pack_ids
from diffill.model.scheduler import MAX_ACTIVE, Failure, Job, Scheduler, State
from tests.stand_in import result_of

HANG_GUARD_SECONDS = 60.0
MODEL = ModelInfo(name="m", hash="0" * 12, adapter=None, device="cpu", vocabulary_size=100, block_size=4, parameters=1)
GONE = Failure(code="cancelled", message="gone")


class SteppedDecoder:
    """Every forward pass waits for `allow`; the answer is the prompt's only token."""

    def __init__(self) -> None:
        self.info = MODEL
        self.allow = threading.Semaphore(0)
        self.started: list[int] = []
        self.fault: BaseException | None = None
        self.lost: DeviceLost | None = None
        self.decodes = 0
        self.turns: list[int] = []
        """How many decodings shared each forward pass."""
        self.passes: list[int] = []

    def begin(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> Decoding:
        return Decoding(self._passes(request, on_step))

    def advance(self, decodings: Sequence[Decoding]) -> None:
        self.turns.append(len(decodings))
        if self.decodes > 1:
            self.allow.acquire()
        if self.lost:
            raise self.lost
        for decoding in decodings:
            decoding.resume(None)

    def _passes(
        self, request: DecodeRequest, on_step: Callable[[Step], None] | None
    ) -> Generator[None, None, DecodeResult]:
        self.decodes += 1
        if self.decodes == 1:
            return result_of([0])
        token = request.prompt[0]
        self.started.append(token)
        for number in (1, 2):
            yield
            self.passes.append(token)
            if self.fault:
                raise self.fault
            if on_step is not None:
                on_step(Step(forward_pass=number, start=0, tokens=b"", confidence=()))
        return result_of([token])


class Ticket:
    """A job and what became of it."""

    def __init__(self, token: int, *, trace: bool = False, priority: Priority = "typing") -> None:
        self.steps: list[int] = []
        self.outcomes: list[DecodeResult | Failure] = []
        self.ended = asyncio.Event()
        self.job = Job(
            request=DecodeRequest(prompt=pack_ids([token]), trace=trace, priority=priority),
            on_step=lambda step: self.steps.append(step.forward_pass),
            on_end=self._end,
        )

    def _end(self, outcome: DecodeResult | Failure) -> None:
        self.outcomes.append(outcome)
        self.ended.set()

    @property
    def code(self) -> str:
        (outcome,) = self.outcomes
        return outcome.code if isinstance(outcome, Failure) else "done"


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), HANG_GUARD_SECONDS))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def ready(decoder: SteppedDecoder, **options: Any) -> Scheduler:
    scheduler = Scheduler(lambda on_progress: decoder, **options)
    scheduler.start()
    await until(lambda: scheduler.state == "ready")
    return scheduler


def test_jobs_of_one_priority_share_every_forward_pass() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        first = Ticket(1, trace=True)
        scheduler.submit(first.job)
        await until(lambda: decoder.started == [1])
        others = [Ticket(token, trace=True) for token in (2, 3)]
        for ticket in others:
            scheduler.submit(ticket.job)
        decoder.allow.release(1)
        await until(lambda: decoder.started == [1, 2, 3])
        decoder.allow.release(10)
        for ticket in (first, *others):
            await ticket.ended.wait()
            assert ticket.code == "done" and ticket.steps == [1, 2]
        assert decoder.passes == [1, 1, 2, 3, 2, 3] and scheduler.requests == 3

    run(test)


def test_a_running_job_ends_at_once_and_its_decoder_stops_at_the_next_pass() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        first, second = Ticket(1, trace=True), Ticket(2)
        scheduler.submit(first.job)
        await until(lambda: decoder.started == [1])
        scheduler.end(first.job, GONE)
        assert first.code == "cancelled"  # although the forward pass still runs
        scheduler.submit(second.job)
        decoder.allow.release(10)
        await second.ended.wait()
        assert second.code == "done" and first.steps == [] and len(first.outcomes) == 1
        assert decoder.passes.count(1) <= 1

    run(test)


def test_a_queued_job_that_ends_is_never_decoded() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        running = Ticket(1)
        scheduler.submit(running.job)
        await until(lambda: decoder.started == [1])
        tickets = [Ticket(token) for token in (2, 3)]
        for ticket in tickets:
            scheduler.submit(ticket.job)
        scheduler.end(tickets[0].job, GONE)
        scheduler.end(tickets[0].job, GONE)
        decoder.allow.release(10)
        await tickets[1].ended.wait()
        assert decoder.started == [1, 3] and [ticket.code for ticket in tickets] == ["cancelled", "done"]

    run(test)


def test_who_types_takes_over_between_two_passes_and_the_others_go_on_after() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        background = Ticket(1, priority="background")
        scheduler.submit(background.job)
        await until(lambda: decoder.started == [1])
        urgent = [Ticket(3, priority="repair"), Ticket(4, priority="typing")]
        for ticket in urgent:
            scheduler.submit(ticket.job)
        decoder.allow.release(10)
        await background.ended.wait()
        assert decoder.passes == [1, 4, 4, 3, 3, 1]
        assert [ticket.code for ticket in (background, *urgent)] == ["done"] * 3

    run(test)


def test_many_in_the_background_do_not_keep_out_who_types() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        crowd = [Ticket(token, priority="background") for token in range(1, MAX_ACTIVE + 4)]
        scheduler.submit(crowd[0].job)
        await until(lambda: decoder.started == [1])
        for ticket in crowd[1:]:
            scheduler.submit(ticket.job)
        decoder.allow.release(1)
        await until(lambda: len(decoder.started) == MAX_ACTIVE)
        typed = Ticket(50)
        scheduler.submit(typed.job)
        decoder.allow.release(3)
        await typed.ended.wait()
        assert len(decoder.started) <= MAX_ACTIVE + 2
        decoder.allow.release(50)
        for ticket in crowd:
            await ticket.ended.wait()
        assert max(decoder.turns) == MAX_ACTIVE

    run(test)


def test_a_full_queue_answers_busy_and_serves_what_it_holds() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder, capacity=2)
        running = Ticket(1)
        scheduler.submit(running.job)
        await until(lambda: decoder.started == [1])
        tickets = [Ticket(token) for token in (2, 3, 4)]
        for ticket in tickets:
            scheduler.submit(ticket.job)
        assert tickets[2].code == "busy"
        decoder.allow.release(10)
        await tickets[1].ended.wait()
        assert decoder.started == [1, 2, 3]

    run(test)


@pytest.mark.parametrize(("fault", "code"), [(MemoryError("PRIVATE"), "busy"), (ArithmeticError("nan"), "unavailable")])
def test_what_is_one_requests_misfortune_leaves_the_others_alone(fault: Exception, code: str) -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        decoder.fault = fault
        first, second = Ticket(1), Ticket(2)
        scheduler.submit(first.job)
        decoder.allow.release()
        await first.ended.wait()
        assert first.code == code
        decoder.fault = None
        scheduler.submit(second.job)
        decoder.allow.release(2)
        await second.ended.wait()
        assert second.code == "done" and scheduler.state == "ready"

    run(test)


def test_a_value_error_is_the_callers_and_the_next_job_is_served() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        decoder.fault = ValueError("mode: no\nsecond line")
        first, second = Ticket(1), Ticket(2)
        scheduler.submit(first.job)
        decoder.allow.release()
        await first.ended.wait()
        assert first.outcomes == [Failure(code="bad_request", message="mode: no")]
        decoder.fault = None
        scheduler.submit(second.job)
        decoder.allow.release(2)
        await second.ended.wait()
        assert second.code == "done"

    run(test)


@pytest.mark.parametrize("fault", [RuntimeError("PRIVATE"), KeyError("PRIVATE"), SystemExit(0)], ids=repr)
def test_anything_else_ends_every_job_and_the_decoder_is_never_used_again(fault: BaseException) -> None:
    async def test() -> None:
        states: list[State] = []
        decoder = SteppedDecoder()
        scheduler = await ready(decoder, on_state=states.append)
        decoder.fault = fault
        tickets = [Ticket(1), Ticket(2)]
        for ticket in tickets:
            scheduler.submit(ticket.job)
        decoder.allow.release(10)
        for ticket in tickets:
            await ticket.ended.wait()
            (outcome,) = ticket.outcomes
            assert isinstance(outcome, Failure) and outcome.code == "engine_dead"
            assert type(fault).__name__ in outcome.message and "test_scheduler.py:" in outcome.message
            assert "PRIVATE" not in outcome.message
        late = Ticket(3)
        scheduler.submit(late.job)
        assert late.code == "engine_dead"
        assert states == ["ready", "crashed"] and len(decoder.passes) == len(set(decoder.passes))

    run(test)


def test_on_a_lost_device_all_that_had_begun_begins_again_on_the_next() -> None:
    async def test() -> None:
        states: list[State] = []
        gpu, cpu = SteppedDecoder(), SteppedDecoder()
        cpu.info = msgspec.structs.replace(MODEL, device="other")
        scheduler = Scheduler(lambda on_progress: gpu, lambda on_progress: cpu, on_state=states.append)
        scheduler.start()
        tickets = [Ticket(1, trace=True), Ticket(2), Ticket(3)]
        for ticket in tickets:
            scheduler.submit(ticket.job)
        gpu.allow.release()
        await until(lambda: tickets[0].steps == [1])
        scheduler.end(tickets[2].job, Failure(code="cancelled", message=""))
        gpu.lost = DeviceLost("unplugged")
        gpu.allow.release()
        cpu.allow.release(10)
        for ticket in tickets:
            await ticket.ended.wait()
        assert [ticket.code for ticket in tickets] == ["done", "done", "cancelled"]
        assert cpu.started == [1, 2], "what was cancelled meanwhile is not begun again"
        assert states == ["ready", "loading", "ready"] and scheduler.model == cpu.info

    run(test)


def test_a_device_lost_for_good_is_a_crash() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder)
        decoder.lost = DeviceLost("unplugged")
        ticket = Ticket(1)
        scheduler.submit(ticket.job)
        decoder.allow.release(10)
        await ticket.ended.wait()
        assert ticket.outcomes == [Failure(code="engine_dead", message="the engine stopped: unplugged")]

    run(test)


def test_requests_wait_for_the_load_and_are_checked_again_with_the_real_vocabulary() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        loaded = threading.Event()

        def load(on_progress: Callable[[float], None]) -> SteppedDecoder:
            on_progress(0.5)
            loaded.wait()
            return decoder

        scheduler = Scheduler(load)
        scheduler.start()
        await until(lambda: scheduler.progress == 0.5)
        good, bad, worse = Ticket(1), Ticket(MODEL.vocabulary_size), Ticket(1)
        worse.job.request = DecodeRequest(prompt=b"123")
        for ticket in (good, bad, worse):
            scheduler.submit(ticket.job)
        assert worse.code == "bad_request" and scheduler.state == "loading" and not good.outcomes
        loaded.set()
        decoder.allow.release(2)
        await bad.ended.wait()
        await good.ended.wait()
        assert (good.code, bad.code, scheduler.progress) == ("done", "bad_request", 1.0)

    run(test)


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        (ValueError("checkpoint: shard 1 is cut short\nmore"), "checkpoint: shard 1 is cut short"),
        (KeyError("x"), "loading failed: KeyError at test_scheduler.py:"),
    ],
    ids=["foreseen", "unforeseen"],
)
def test_a_load_that_fails_answers_with_its_one_line(fault: Exception, detail: str) -> None:
    async def test() -> None:
        loaded = threading.Event()

        def load(on_progress: Callable[[float], None]) -> SteppedDecoder:
            loaded.wait()
            raise fault

        scheduler = Scheduler(load)
        scheduler.start()
        early, late = Ticket(1), Ticket(2)
        scheduler.submit(early.job)
        loaded.set()
        await early.ended.wait()
        scheduler.submit(late.job)
        for ticket in (early, late):
            (outcome,) = ticket.outcomes
            assert isinstance(outcome, Failure) and outcome.code == "unavailable"
            assert outcome.message.startswith(detail) and "\n" not in outcome.message
        assert scheduler.state == "failed"

    run(test)


def test_ready_needs_a_real_forward_pass() -> None:
    class Broken(SteppedDecoder):
        def begin(self, request: DecodeRequest, **options: Any) -> Decoding:
            assert request.max_tokens == MODEL.block_size
            raise RuntimeError("no kernel for this device")

    async def test() -> None:
        scheduler = Scheduler(lambda on_progress: Broken())
        scheduler.start()
        await until(lambda: scheduler.state != "loading")
        assert scheduler.state == "failed" and "no kernel for this device" in scheduler.detail

    run(test)


def test_a_forward_pass_that_never_returns_is_a_crash() -> None:
    async def test() -> None:
        decoder = SteppedDecoder()
        scheduler = await ready(decoder, stall_seconds=0.05)
        ticket = Ticket(1)
        scheduler.submit(ticket.job)
        await ticket.ended.wait()
        assert ticket.code == "engine_dead" and scheduler.state == "crashed"
        decoder.allow.release(2)

    run(test)
