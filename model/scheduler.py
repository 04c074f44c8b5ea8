"""One decoding thread behind a bounded queue: loads the weights, then decodes the most urgent requests side by side.

Who types comes before a repair, a repair before what runs in the background: between two forward passes the more urgent
take over, and the others go on where they were. Requests of one priority share each forward pass.

Everything public belongs to the event loop's thread. The decoding thread only takes jobs from the queue, reads
`Job.ended` between forward passes, and posts what happened back to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import io
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from .decoding_turn import Decoder, Decoding, DeviceLost, decode_alone
from .request import Cancelled, DecodeRequest, DecodeResult, ModelInfo, Priority, Step, pack_ids
from .wire import ErrorCode

State = Literal["loading", "ready", "failed", "crashed"]
Loader = Callable[[Callable[[float], None]], Decoder]
QUEUE_CAPACITY = 64
MAX_ACTIVE = 8
"""Requests of one priority that share a step; on a CPU more would only make all of them late."""
PRIORITIES = get_args(Priority)
_ANY_VOCABULARY = 1 << 32

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job has no result, in one line that holds nothing of the prompt."""

    code: ErrorCode
    message: str


@dataclass(eq=False, kw_only=True)
class Job:
    """A request on its way. `on_end` is called exactly once, both callbacks on the event loop."""

    request: DecodeRequest
    on_step: Callable[[Step], None]
    on_end: Callable[[DecodeResult | Failure], None]
    ended: bool = False


class Scheduler:
    """Queue, decoding thread and the state of the decoder."""

    def __init__(
        self,
        *loaders: Loader,
        on_state: Callable[[State], None] = lambda state: None,
        capacity: int = QUEUE_CAPACITY,
        stall_seconds: float = 300.0,
    ) -> None:
        """
        Args:
            loaders: the second makes a decoder when the device of the first one is lost, and so on.
        """
        self.state: State = "loading"
        self.progress = 0.0
        self.detail = "loading the weights"
        self.model: ModelInfo | None = None
        self.requests = 0
        self.used = time.monotonic()
        """When the last request came or ended."""
        self._loaders = loaders
        self._on_state = on_state
        self._capacity = capacity
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._active: dict[Job, Decoding | None] = {}
        """What is being decoded, in the order of its beginning; None until it has begun."""
        self._heartbeat = time.monotonic()
        self._watch: asyncio.TimerHandle | None = None

    @property
    def is_busy(self) -> bool:
        """Whether it loads, or somebody waits for an answer."""
        return self.state == "loading" or bool(self._queue or self._active)

    def start(self) -> None:
        """Begin to load. The thread is a daemon: it may sit in a long forward pass when the process has to end."""
        threading.Thread(target=self._work, name="decoding", daemon=True).start()

    def submit(self, job: Job) -> None:
        """Take a job; one that cannot be served ends at once with `busy`, `bad_request` or `unavailable`."""
        vocabulary_size = self.model.vocabulary_size if self.model else _ANY_VOCABULARY
        if problem := job.request.problem(vocabulary_size):
            self._end(job, Failure(code="bad_request", message=problem))
        elif self.state == "failed":
            self._end(job, Failure(code="unavailable", message=self.detail))
        elif self.state == "crashed":
            self._end(job, Failure(code="engine_dead", message=self.detail))
        elif len(self._queue) >= self._capacity:
            self._end(job, Failure(code="busy", message=f"the engine has {self._capacity} requests waiting"))
        else:
            self.requests += 1
            self.used = time.monotonic()
            with self._changed:
                self._queue.append(job)
                self._changed.notify()
            self._watch = self._watch or self._loop.call_later(self._stall_seconds / 2, self._look_for_stall)

    def end(self, job: Job, failure: Failure) -> None:
        """End a queued or running job early; nothing happens if it has ended. It is answered now, not a pass later."""
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
        self._end(job, failure)

    def end_all(self, failure: Failure) -> None:
        """End every job, as `end`."""
        with self._changed:
            jobs = [*self._queue, *self._active]
            self._queue.clear()
        for job in jobs:
            self._end(job, failure)

    def _end(self, job: Job, outcome: DecodeResult | Failure) -> None:
        if not job.ended:
            job.ended = True
            self.used = time.monotonic()
            job.on_end(outcome)

    def _step(self, job: Job, step: Step) -> None:
        if not job.ended:
            job.on_step(step)

    # On the decoding thread.

    def _work(self) -> None:
        for load in self._loaders:
            try:
                if (decoder := self._begin(load)) is None:
                    return
                while True:
                    self._admit(decoder)
                    self._turn(decoder)
            except DeviceLost as error:
                # Nobody's request is lost: all that had begun begins again on the next device.
                with self._changed:
                    self._active = dict.fromkeys(job for job in self._active if not job.ended)
                lost = first_line(error)
                self._post(self._lose, lost)
            except BaseException as error:
                # What raised once may have left the cache or the device in any state: never decode with it again.
                self._post(self._crash, f"{type(error).__name__} at {_site(error)}")
                return
        self._post(self._crash, lost)

    def _begin(self, load: Loader) -> Decoder | None:
        """A decoder that has run once, or None, and everybody knows why.

        Raises:
            DeviceLost: it got no further than its first pass.
        """
        started = time.monotonic()
        try:
            decoder = load(self._set_progress)
            self.detail = "first forward pass"
            decode_alone(decoder, _one_block(decoder.info.block_size))
        except DeviceLost:
            raise
        except BaseException as error:
            self._post(self._load_failed, _load_problem(error))
            return None
        self._post(self._loaded, decoder.info, time.monotonic() - started)
        return decoder

    def _admit(self, decoder: Decoder) -> None:
        """Begin what waits, the most urgent first; at most `MAX_ACTIVE` of a priority or a more urgent one."""
        with self._changed:
            while not self._queue and not self._active:
                self._changed.wait()
            self._heartbeat = time.monotonic()
            for job in sorted(self._queue, key=_urgency):
                if sum(_urgency(other) <= _urgency(job) for other in self._active) < MAX_ACTIVE:
                    self._queue.remove(job)
                    self._active[job] = None
        for job, decoding in list(self._active.items()):
            if problem := job.request.problem(decoder.info.vocabulary_size):
                # Asked before the vocabulary was known, perhaps.
                with self._changed:
                    del self._active[job]
                self._post(self._end, job, Failure(code="bad_request", message=problem))
            elif decoding is None:
                on_step = functools.partial(self._stepped, job) if job.request.trace else None
                self._active[job] = decoder.begin(job.request, on_step=on_step)

    def _turn(self, decoder: Decoder) -> None:
        """One forward pass for the most urgent jobs, together; then answer those that are over."""
        active = [(job, decoding) for job, decoding in self._active.items() if decoding is not None]
        for job, decoding in active:
            if job.ended:
                decoding.fail(Cancelled())
        going = [(job, decoding) for job, decoding in active if not decoding.over]
        if going:
            first = min(_urgency(job) for job, _ in going)
            urgent = [decoding for job, decoding in going if _urgency(job) == first]
            # Where the urgent wait for memory, those that hold it have to come to an end.
            decoder.advance([decoding for _, decoding in going] if all(one.waits for one in urgent) else urgent)
        for job, decoding in active:
            if decoding.over:
                outcome = decoding.result or _failure(decoding.error)
                with self._changed:
                    del self._active[job]
                if outcome is not None:
                    self._post(self._end, job, outcome)

    def _stepped(self, job: Job, step: Step) -> None:
        self._post(self._step, job, step)

    def _set_progress(self, fraction: float) -> None:
        self.progress = min(max(fraction, 0.0), 1.0)
        self._heartbeat = time.monotonic()

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(function, *arguments)

    # Back on the event loop.

    def _loaded(self, model: ModelInfo, seconds: float) -> None:
        self.model, self.progress, self.detail = model, 1.0, ""
        logger.info("ready after %.1f s: %s %s on %s", seconds, model.name, model.hash, model.device)
        self._enter("ready")

    def _lose(self, problem: str) -> None:
        self.model, self.progress, self.detail = None, 0.0, f"{problem}; loading on another device"
        logger.warning("device lost: %s", problem)
        self._enter("loading")

    def _load_failed(self, problem: str) -> None:
        self.detail = problem
        logger.error("load failed: %s", problem)
        self._enter("failed")
        self.end_all(Failure(code="unavailable", message=problem))

    def _crash(self, problem: str) -> None:
        self.detail = f"the engine stopped: {problem}"
        logger.error("decoding failed: %s", problem)
        self._enter("crashed")
        self.end_all(Failure(code="engine_dead", message=self.detail))

    def _enter(self, state: State) -> None:
        self.state = state
        self._on_state(state)

    def _look_for_stall(self) -> None:
        self._watch = None
        if self.state == "crashed" or not (self._active or self._queue):
            return
        if self._active and time.monotonic() - self._heartbeat > self._stall_seconds:
            with contextlib.suppress(OSError, io.UnsupportedOperation):  # standard error need not be a file
                faulthandler.dump_traceback(sys.stderr)
            self._crash(f"no forward pass finished within {self._stall_seconds:g} s")
            return
        self._watch = self._loop.call_later(self._stall_seconds / 2, self._look_for_stall)


def _urgency(job: Job) -> int:
    return PRIORITIES.index(job.request.priority)


def _failure(error: Exception | None) -> Failure | None:
    """What a request is told that ended without a result; nothing when it was cancelled.

    Raises:
        Exception: whatever is not this request's own fault.
    """
    if isinstance(error, Cancelled):
        return None
    if isinstance(error, ValueError):
        return Failure(code="bad_request", message=first_line(error))
    if isinstance(error, MemoryError):
        return Failure(code="busy", message=f"out of memory: {first_line(error)}")
    if isinstance(error, ArithmeticError):
        return Failure(code="unavailable", message=first_line(error))
    raise error or RuntimeError("a decoding ended without a result")


def first_line(error: BaseException) -> str:
    """The message of an error, cut to one line of at most 500 characters."""
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__


def _load_problem(error: BaseException) -> str:
    if isinstance(error, (ValueError, OSError)):
        return first_line(error)
    return f"loading failed: {type(error).__name__} at {_site(error)}: {first_line(error)}"


def _site(error: BaseException) -> str:
    """File and line that raised; the message itself may quote the prompt."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"


def _one_block(block_size: int) -> DecodeRequest:
    """An empty file, to be filled with one block: the first real forward pass."""
    from .tokenizer import MIDDLE, PREFIX, SUFFIX

    return DecodeRequest(prompt=pack_ids([SUFFIX, PREFIX, MIDDLE]), max_tokens=block_size)
