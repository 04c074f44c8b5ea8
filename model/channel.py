"""The client's side of one open connection: requests go out with an id, answers are routed back by it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .request import DecodeRequest, DecodeResult, Step
from .runtime_directory import peer_user
from .wire import (
    CONNECTION_ID,
    PROTOCOL,
    Cancel,
    ClientMessage,
    Decode,
    Decoded,
    EngineMessage,
    EngineStatus,
    ErrorCode,
    Failed,
    Hello,
    Status,
    StatusReply,
    Stepped,
    Stop,
    Welcome,
    WireError,
    build,
    decode_engine_message,
    encode_frame,
    read_frame,
)

HELLO_SECONDS = 10.0


class EngineError(Exception):
    """A request without a result."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code: ErrorCode = code
        self.message = message


@dataclass(eq=False, kw_only=True)
class _Pending:
    answer: asyncio.Future[EngineMessage]
    on_step: Callable[[Step], None] | None = None


class Channel:
    """Made by `open`. After the connection ends every call raises `EngineError("engine_dead")`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: Welcome) -> None:
        self.pid = welcome.pid
        self._reader = reader
        self._writer = writer
        self._pending: dict[int, _Pending] = {}
        self._identifiers = itertools.count(1)
        self._ended: EngineError | None = None
        self._router = asyncio.get_running_loop().create_task(self._route())

    @classmethod
    async def open(cls, path: Path) -> Channel:
        """Connect and agree on the version.

        Raises:
            OSError: nobody listens there, or left at once.
            EngineError: `unavailable`: somebody else's process, another version, or no answer.
        """
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            if peer_user(writer.get_extra_info("socket")) != os.getuid():
                raise EngineError("unavailable", f"directory: {path} is served by another user")
            writer.write(encode_frame(Hello(protocol=PROTOCOL, build=build())))
            payload = await asyncio.wait_for(read_frame(reader), HELLO_SECONDS)
            if payload is None:
                raise ConnectionResetError("closed before the handshake")
            reply = decode_engine_message(payload)
            if isinstance(reply, Failed):
                raise EngineError("unavailable", reply.message)
            if not isinstance(reply, Welcome) or (reply.protocol, reply.build) != (PROTOCOL, build()):
                raise EngineError("unavailable", "the engine answered the handshake with something else")
            return cls(reader, writer, reply)
        except asyncio.TimeoutError:
            writer.close()
            raise EngineError("unavailable", f"the engine did not answer within {HELLO_SECONDS:g} s") from None
        except WireError as error:
            writer.close()
            raise EngineError("unavailable", f"the engine does not speak our protocol: {error}") from None
        except BaseException:
            writer.close()
            raise

    @property
    def closed(self) -> bool:
        return self._ended is not None

    async def decode(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> DecodeResult:
        """Fill one span; cancelling the awaiting task cancels the request in the engine.

        Raises:
            EngineError: whatever the engine answered instead, or `engine_dead`.
        """
        if on_step is not None:
            request = msgspec.structs.replace(request, trace=True)
        identifier = next(self._identifiers)
        answer = await self._ask(Decode(id=identifier, request=request), identifier, on_step)
        if not isinstance(answer, Decoded):
            raise self._unexpected()
        return answer.result

    async def status(self) -> EngineStatus:
        """What the engine is doing.

        Raises:
            EngineError: `engine_dead`.
        """
        identifier = next(self._identifiers)
        answer = await self._ask(Status(id=identifier), identifier)
        if not isinstance(answer, StatusReply):
            raise self._unexpected()
        return answer.status

    async def stop(self) -> None:
        """End the engine process; returns when it is gone."""
        identifier = next(self._identifiers)
        with contextlib.suppress(EngineError):  # it may be gone before its answer is out
            await self._ask(Stop(id=identifier), identifier)
        await asyncio.wait([self._router])

    async def close(self) -> None:
        """Leave; the engine cancels what is not answered yet."""
        self._router.cancel()
        await asyncio.wait([self._router])
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _ask(
        self, message: ClientMessage, identifier: int, on_step: Callable[[Step], None] | None = None
    ) -> EngineMessage:
        if self._ended is not None:
            raise self._ended
        pending = _Pending(answer=asyncio.get_running_loop().create_future(), on_step=on_step)
        try:
            frame = encode_frame(message)
        except WireError as error:
            raise EngineError("bad_request", str(error)) from None
        self._pending[identifier] = pending
        self._writer.write(frame)
        try:
            answer = await pending.answer
        except BaseException:
            if isinstance(message, Decode) and self._ended is None:
                self._writer.write(encode_frame(Cancel(id=identifier)))
            raise
        finally:
            self._pending.pop(identifier, None)
        if isinstance(answer, Failed):
            raise EngineError(answer.code, answer.message)
        return answer

    async def _route(self) -> None:
        ended = EngineError("engine_dead", "the engine ended the connection")
        try:
            while (payload := await read_frame(self._reader)) is not None:
                message = decode_engine_message(payload)
                if isinstance(message, Failed) and message.id == CONNECTION_ID:
                    ended = EngineError(message.code, message.message)
                    return
                self._deliver(message)
        except (WireError, OSError) as error:
            ended = EngineError("engine_dead", f"the connection to the engine broke: {error}")
        finally:
            self._ended = ended
            for pending in self._pending.values():
                if not pending.answer.done():
                    pending.answer.set_exception(ended)
            self._writer.close()

    def _deliver(self, message: EngineMessage) -> None:
        if isinstance(message, Welcome):
            raise WireError("a second welcome")
        pending = self._pending.get(message.id)
        if pending is None or pending.answer.done():
            return  # given up meanwhile
        if not isinstance(message, Stepped):
            pending.answer.set_result(message)
        elif pending.on_step is not None:
            try:
                pending.on_step(message.step)
            except Exception as error:  # the caller's own fault belongs to the caller, not to the other requests
                pending.answer.set_exception(error)

    @staticmethod
    def _unexpected() -> EngineError:
        return EngineError("engine_dead", "the engine gave an answer of the wrong kind")
