"""How messages come in and go out: standard input and output, or one loopback TCP connection for debugging.

pygls' own loops are not used: they miss lower-case headers, swallow the exit code, and wait at exit for a thread that
is blocked in a read.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Awaitable, Callable

from .frames import FrameReader
from .protocol import Protocol

_CHUNK_BYTES = 64 * 1024


class OutputPipe:
    """The original standard output. Whatever else prints in this process goes to standard error from now on."""

    def __init__(self, on_broken: Callable[[], None]) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._on_broken = on_broken

    def write(self, data: bytes) -> None:
        """Write all of `data`. A reader that is gone is reported, not raised: there is nobody left to tell."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._on_broken()

    def close(self) -> None:
        os.close(self._descriptor)


async def serve_stdio(protocol: Protocol) -> None:
    """Serve until `exit`, end of input, or a broken pipe."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue()

    def pump() -> None:
        # os.read rather than sys.stdin: a buffered reader would keep its lock while the interpreter shuts down.
        chunk = b"more"
        while chunk:
            try:
                chunk = os.read(0, _CHUNK_BYTES)
            except OSError:
                chunk = b""
            try:
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            except RuntimeError:  # the loop is closed
                return

    protocol.set_writer(OutputPipe(protocol.ended.set))
    threading.Thread(target=pump, name="stdin", daemon=True).start()
    await serve(protocol, chunks.get)


async def serve_tcp(protocol: Protocol, host: str, port: int, on_listening: Callable[[int], None]) -> None:
    """Serve one connection. `on_listening` is told the port, which matters when the one asked for is 0."""
    connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections.empty() and protocol.writer is None:
            await connections.put((reader, writer))
        else:
            writer.close()

    listener = await asyncio.start_server(accept, host, port)
    on_listening(listener.sockets[0].getsockname()[1])
    reader, writer = await connections.get()
    protocol.set_writer(writer)
    listener.close()
    await serve(protocol, lambda: reader.read(_CHUNK_BYTES))
    writer.close()


async def serve(protocol: Protocol, read: Callable[[], Awaitable[bytes]]) -> None:
    """Feed `protocol` from `read` until it has ended or `read` returns nothing."""

    async def receive() -> None:
        frames = FrameReader()
        while chunk := await read():
            for body in frames.feed(chunk):
                protocol.receive(body)
                # Lets a request take its snapshot of the text before the next message changes it.
                await asyncio.sleep(0)
                if protocol.ended.is_set():
                    return

    receiving = asyncio.ensure_future(receive())
    ended = asyncio.ensure_future(protocol.ended.wait())
    await asyncio.wait({receiving, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (receiving, ended):
        task.cancel()
    await asyncio.gather(receiving, ended, return_exceptions=True)
