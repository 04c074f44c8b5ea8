"""The engine's side of one client: reads its messages, hands its requests to the scheduler, writes the answers."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Callable

from .request import DecodeResult, Step
from .scheduler import Failure, Job, Scheduler
from .wire import (
    CONNECTION_ID,
    PROTOCOL,
    Cancel,
    ClientMessage,
    Decode,
    Decoded,
    EngineMessage,
    EngineStatus,
    Failed,
    Hello,
    Status,
    StatusReply,
    Stepped,
    Stop,
    Stopping,
    Welcome,
    WireError,
    build,
    decode_client_message,
    encode_frame,
    read_frame,
)

MAX_UNSENT_BYTES = 1 << 20
"""A client that leaves this much unread is dropped: it must not hold the engine's memory."""
HELLO_SECONDS = 10.0

logger = logging.getLogger(__name__)


class Connection:
    """One client, from its `Hello` to the end of its connection, which cancels what it still waits for."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        scheduler: Scheduler,
        status: Callable[[], EngineStatus],
        stop: Callable[[], None],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._scheduler = scheduler
        self._status = status
        self._stop = stop
        self._jobs: dict[int, Job] = {}
        self._newest: dict[str, int] = {}

    async def serve(self) -> None:
        """Answer until the client leaves or breaks the protocol; never raises for what a client does."""
        try:
            if await asyncio.wait_for(self._greet(), HELLO_SECONDS):
                while (payload := await read_frame(self._reader)) is not None:
                    self._handle(decode_client_message(payload))
        except WireError as error:
            logger.warning("connection closed: %s", error)
            self._refuse(str(error))
        except asyncio.TimeoutError:
            self._refuse(f"no hello within {HELLO_SECONDS:g} s")
        except OSError:
            pass  # reset by the client
        finally:
            for job in list(self._jobs.values()):
                self._scheduler.end(job, Failure(code="cancelled", message="the client left"))
            self._writer.close()

    async def flush(self) -> None:
        """Wait until what was sent has left this process."""
        transport = self._writer.transport
        while transport.get_write_buffer_size() and not transport.is_closing():
            await asyncio.sleep(0.005)

    async def _greet(self) -> bool:
        payload = await read_frame(self._reader)
        if payload is None:
            return False
        hello = decode_client_message(payload)
        if not isinstance(hello, Hello):
            raise WireError("the first message is not a hello")
        if (hello.protocol, hello.build) != (PROTOCOL, build()):
            self._refuse(
                f"the engine speaks protocol {PROTOCOL} of build {build()}, "
                f"the client protocol {hello.protocol} of build {hello.build[:40]!r}"
            )
            return False
        self._send(Welcome(protocol=PROTOCOL, build=build(), pid=os.getpid()))
        return True

    def _handle(self, message: ClientMessage) -> None:
        if isinstance(message, Decode):
            self._decode(message)
        elif isinstance(message, Cancel):
            if job := self._jobs.get(message.id):
                self._scheduler.end(job, Failure(code="cancelled", message="cancelled by the client"))
        elif isinstance(message, Status):
            self._send(StatusReply(id=message.id, status=self._status()))
        elif isinstance(message, Stop):
            self._send(Stopping(id=message.id))
            self._stop()
        else:
            raise WireError("a second hello")

    def _decode(self, message: Decode) -> None:
        if message.id in self._jobs:
            raise WireError("the id of a request that is not answered yet is used again")
        document = message.request.document
        if (older := self._newest.get(document)) is not None:
            self._scheduler.end(
                self._jobs[older], Failure(code="superseded", message="a newer request for this document came")
            )
        job = Job(
            request=message.request,
            on_step=functools.partial(self._stepped, message.id),
            on_end=functools.partial(self._ended, message.id, document),
        )
        self._jobs[message.id] = job
        if document:
            self._newest[document] = message.id
        self._scheduler.submit(job)

    def _stepped(self, identifier: int, step: Step) -> None:
        self._send(Stepped(id=identifier, step=step))

    def _ended(self, identifier: int, document: str, outcome: DecodeResult | Failure) -> None:
        del self._jobs[identifier]
        if self._newest.get(document) == identifier:
            del self._newest[document]
        if isinstance(outcome, Failure):
            self._send(Failed(id=identifier, code=outcome.code, message=outcome.message))
        else:
            self._send(Decoded(id=identifier, result=outcome))

    def _refuse(self, message: str) -> None:
        self._send(Failed(id=CONNECTION_ID, code="bad_request", message=message))

    def _send(self, message: EngineMessage) -> None:
        transport = self._writer.transport
        if transport.is_closing():
            return
        frame = encode_frame(message)
        if transport.get_write_buffer_size() + len(frame) > MAX_UNSENT_BYTES:
            logger.warning("client dropped: it does not read")
            transport.abort()
            return
        self._writer.write(frame)
