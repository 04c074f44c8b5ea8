"""One decoding thread behind a bounded queue: loads the weights, then decodes one request at a time.

Everything public belongs to the event loop's thread. The decoding thread only takes jobs from the queue, reads
`Job.ended` between forward passes, and posts what happened back to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
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

from .request import Cancelled, Decoder, DecodeRequest, DecodeResult, ModelInfo, Priority, Step, pack_ids
from .wire import ErrorCode

State = Literal["loading", "ready", "failed", "crashed"]
Loader = Callable[[Callable[[float], None]], Decoder]
QUEUE_CAPACITY = 64
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
        load: Loader,
        *,
        on_state: Callable[[State], None] = lambda state: None,
        capacity: int = QUEUE_CAPACITY,
        stall_seconds: float = 300.0,
    ) -> None:
        self.state: State = "loading"
        self.progress = 0.0
        self.detail = "loading the weights"
        self.model: ModelInfo | None = None
        self.requests = 0
        self._load = load
        self._on_state = on_state
        self._capacity = capacity
        self._stall_seconds = stall_seconds
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._heartbeat = time.monotonic()
        self._watch: asyncio.TimerHandle | None = None

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
            jobs = [*self._queue, *([self._running] if self._running else [])]
            self._queue.clear()
        for job in jobs:
            self._end(job, failure)

    def _end(self, job: Job, outcome: DecodeResult | Failure) -> None:
        if not job.ended:
            job.ended = True
            job.on_end(outcome)

    def _step(self, job: Job, step: Step) -> None:
        if not job.ended:
            job.on_step(step)

    # On the decoding thread.

    def _work(self) -> None:
        started = time.monotonic()
        try:
            decoder = self._load(self._set_progress)
            self.detail = "first forward pass"
            decoder.decode(_one_block(decoder.info.block_size))
        except BaseException as error:
            self._post(self._load_failed, _load_problem(error))
            return
        self._post(self._loaded, decoder.info, time.monotonic() - started)
        while True:
            job = self._take()
            try:
                outcome = self._decode(decoder, job)
            except BaseException as error:
                # What raised once may have left the cache or the device in any state: never decode with it again.
                self._post(self._crash, f"{type(error).__name__} at {_site(error)}")
                return
            with self._changed:
                self._running = None
            if outcome is not None:
                self._post(self._end, job, outcome)

    def _take(self) -> Job:
        with self._changed:
            while not self._queue:
                self._changed.wait()
            self._heartbeat = time.monotonic()
            self._running = min(self._queue, key=lambda job: PRIORITIES.index(job.request.priority))
            self._queue.remove(self._running)
            return self._running

    def _decode(self, decoder: Decoder, job: Job) -> DecodeResult | Failure | None:
        def is_cancelled() -> bool:
            self._heartbeat = time.monotonic()
            return job.ended

        def on_step(step: Step) -> None:
            self._heartbeat = time.monotonic()
            self._post(self._step, job, step)

        if job.ended:
            return None
        # Asked before the vocabulary was known, perhaps.
        if problem := job.request.problem(decoder.info.vocabulary_size):
            return Failure(code="bad_request", message=problem)
        try:
            return decoder.decode(
                job.request, on_step=on_step if job.request.trace else None, is_cancelled=is_cancelled
            )
        except Cancelled:
            return None
        except ValueError as error:
            return Failure(code="bad_request", message=first_line(error))

    def _set_progress(self, fraction: float) -> None:
        self.progress = min(max(fraction, 0.0), 1.0)

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process is about to end
            self._loop.call_soon_threadsafe(function, *arguments)

    # Back on the event loop.

    def _loaded(self, model: ModelInfo, seconds: float) -> None:
        self.model, self.progress, self.detail = model, 1.0, ""
        logger.info("ready after %.1f s: %s %s on %s", seconds, model.name, model.hash, model.device)
        self._enter("ready")

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
        if self.state == "crashed" or (self._running is None and not self._queue):
            return
        if self._running is not None and time.monotonic() - self._heartbeat > self._stall_seconds:
            with contextlib.suppress(OSError, io.UnsupportedOperation):  # standard error need not be a file
                faulthandler.dump_traceback(sys.stderr)
            self._crash(f"no forward pass finished within {self._stall_seconds:g} s")
            return
        self._watch = self._loop.call_later(self._stall_seconds / 2, self._look_for_stall)


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
