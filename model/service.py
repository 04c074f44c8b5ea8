"""The engine process: `python -m diffill.model.service`. Listens at once, loads the weights, answers until idle.

Unix sockets only; on Windows a named pipe would be needed and is not there yet.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import functools
import gc
import logging
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .connection import Connection
from .cpu import compile_ahead
from .decoding_turn import Decoder
from .engine_log import open_log
from .runtime_directory import SOCKET_MODE, RuntimeDirectory, peer_user
from .scheduler import Failure, Scheduler, State
from .wire import EngineStatus

EXIT_DONE, EXIT_CRASHED, EXIT_UNUSABLE = 0, 1, 2
FAILED_LINGER_SECONDS = 10.0
FAILED_LEFT_SECONDS = 2.0
FLUSH_SECONDS = 2.0
BACKLOG = 128

DecoderLoader = Callable[[Path, str, Callable[[float], None]], Decoder]
"""checkpoint, device, on_progress → decoder; called on the decoding thread."""

logger = logging.getLogger(__name__)


class AlreadyRunning(Exception):
    """Another process is, or is becoming, the engine of this directory."""


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What an engine process is started with."""

    checkpoint: Path
    device: str
    directory: Path
    idle_seconds: float
    stall_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name in ("idle_seconds", "stall_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name.replace('_', '-')}: {getattr(self, name)} is not positive")


class Service:
    """Clients on one side, the scheduler on the other, and the reasons to end."""

    def __init__(self, settings: ServiceSettings, load: DecoderLoader) -> None:
        self._settings = settings
        self._started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._connections: set[Connection] = set()
        self._used = self._started
        self._leave: asyncio.TimerHandle | None = None
        devices = ("auto", "cpu") if settings.device == "auto" else (settings.device,)
        self._scheduler = Scheduler(
            *(functools.partial(load, settings.checkpoint, device) for device in devices),
            on_state=self._state_changed,
            stall_seconds=settings.stall_seconds,
        )

    async def run(self, listener: socket.socket) -> int:
        """Serve until there is a reason to end; returns the exit status of the process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, EXIT_DONE, "signal")
        server = await asyncio.start_unix_server(self._accept, sock=listener, backlog=BACKLOG)
        self._scheduler.start()
        self._await_use()
        status = await self._exit
        server.close()
        self._scheduler.end_all(Failure(code="cancelled", message="the engine is stopping"))
        try:
            await asyncio.wait_for(
                asyncio.gather(*(connection.flush() for connection in self._connections)), FLUSH_SECONDS
            )
        except asyncio.TimeoutError:
            logger.warning("a client did not read its last answer")
        return status

    def status(self) -> EngineStatus:
        scheduler = self._scheduler
        return EngineStatus(
            state="failed" if scheduler.state == "crashed" else scheduler.state,
            progress=scheduler.progress,
            detail=scheduler.detail,
            model=scheduler.model,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 3),
            requests=scheduler.requests,
        )

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = peer_user(writer.get_extra_info("socket"))
        except OSError:
            peer = None
        if peer != os.getuid():
            logger.warning("connection refused: it comes from user %s", peer)
            writer.close()
            return
        connection = Connection(
            reader,
            writer,
            scheduler=self._scheduler,
            status=self.status,
            stop=functools.partial(self._end, EXIT_DONE, "stop request"),
        )
        self._connections.add(connection)
        self._await_use()
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
            self._await_use()

    def _await_use(self) -> None:
        """Somebody came or left: the timer that ends a process nobody uses begins again."""
        self._used = time.monotonic()
        if self._leave:
            self._leave.cancel()
        if self._scheduler.state == "failed" and not self._connections:
            self._leave = self._loop.call_later(FAILED_LEFT_SECONDS, self._end, EXIT_UNUSABLE, "load failed")
        else:
            self._leave = self._loop.call_later(self._settings.idle_seconds, self._look_for_use)

    def _look_for_use(self) -> None:
        """End, unless something was asked for in the meantime. An editor that is open and left alone asks nothing."""
        used = time.monotonic() if self._scheduler.is_busy else max(self._used, self._scheduler.used)
        if (left := used + self._settings.idle_seconds - time.monotonic()) > 0:
            self._leave = self._loop.call_later(left, self._look_for_use)
        else:
            self._end(EXIT_DONE, "idle")

    def _state_changed(self, state: State) -> None:
        if state == "crashed":
            # Deferred: the scheduler answers everybody first.
            self._loop.call_soon(self._end, EXIT_CRASHED, "crash")
        elif state == "failed":
            self._loop.call_later(FAILED_LINGER_SECONDS, self._end, EXIT_UNUSABLE, "load failed")
            self._await_use()

    def _end(self, status: int, reason: str) -> None:
        if not self._exit.done():
            logger.info("ending: %s", reason)
            self._exit.set_result(status)


def acquire(directory: RuntimeDirectory) -> int:
    """Become the only engine of this directory: the descriptor of a lock that lasts as long as the process.

    Raises:
        AlreadyRunning: somebody else holds it.
        ValueError: the lock file cannot be made, in one line.
    """
    try:
        descriptor = os.open(directory.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, SOCKET_MODE)
    except OSError as error:
        raise ValueError(f"directory: cannot create {directory.lock}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise AlreadyRunning from None
    return descriptor


def listen(directory: RuntimeDirectory) -> socket.socket:
    """Bind the socket, in place of one that a dead engine left. Call with the lock held.

    Raises:
        ValueError: the place is taken by something that is not ours to remove, or the directory cannot hold a socket.
    """
    path = directory.socket
    try:
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(path))
            path.chmod(SOCKET_MODE)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ValueError(f"directory: cannot create {path}: {error.strerror or error}") from None
    return listener


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ValueError(f"directory: {path} is in the way and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # full backlog or no permission: somebody listens
    raise ValueError(f"directory: {path} is held by a process that is not this engine")


def _load_decoder(checkpoint: Path, device: str, on_progress: Callable[[float], None]) -> Decoder:
    # Imports torch, which takes most of a second: the socket answers meanwhile, and another core compiles.
    if device in ("auto", "cpu"):  # which of the GPUs "auto" means, only torch knows: the CPU may have to step in
        threading.Thread(target=compile_ahead, args=(checkpoint,), name="compile", daemon=True).start()
    gc.disable()  # what is made now stays: looking through it again and again takes a sixth of the import
    try:
        from .decoder_loading import load_decoder

        return load_decoder(checkpoint=checkpoint, device=device, on_progress=on_progress)
    finally:
        gc.freeze()  # nor is it looked through while decoding, which that would hold up for 150 ms
        gc.enable()


def serve(settings: ServiceSettings, load: DecoderLoader) -> int:
    """Run an engine process to its end; returns its exit status.

    Raises:
        AlreadyRunning: there is an engine for this checkpoint and device.
        ValueError: the directory cannot be used, in one line that names it.
    """
    directory = RuntimeDirectory(path=settings.directory, checkpoint=settings.checkpoint, device=settings.device)
    os.umask(0o077)
    directory.prepare()
    acquire(directory)
    listener = listen(directory)
    identity = directory.socket.stat()
    open_log(directory.log)
    logger.info("listening, device %s", settings.device)

    async def run() -> int:
        return await Service(settings, load).run(listener)

    try:
        # Not `asyncio.run`: it would close the connections first, and a client that sees the end of its connection
        # may rely on the process, with its lock, being gone.
        return asyncio.new_event_loop().run_until_complete(run())
    finally:
        _unlink_own(directory.socket, identity)
        logging.shutdown()


def _unlink_own(path: Path, identity: os.stat_result) -> None:
    # Somebody who cleans up temporary files may have removed ours, and a successor may listen here by now.
    try:
        if os.path.samestat(path.lstat(), identity):
            path.unlink()
    except OSError:
        pass


def main(arguments: Sequence[str] | None = None, *, load: DecoderLoader = _load_decoder) -> NoReturn:
    """The process: status 0 when stopped, idle or not needed, 1 after a crash, 2 with one line when it cannot serve."""
    parser = argparse.ArgumentParser(prog="diffill engine", description="The warm engine of Diffill.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of the checkpoint")
    parser.add_argument("--device", required=True, help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--directory", type=Path, required=True, help="private directory for the socket and the log")
    parser.add_argument("--idle-seconds", type=float, required=True, help="exit after this time without a request")
    parser.add_argument("--stall-seconds", type=float, default=300.0, help="exit when one forward pass takes longer")
    try:
        status = serve(ServiceSettings(**vars(parser.parse_args(arguments))), load)
    except AlreadyRunning:
        status = EXIT_DONE
    except ValueError as error:
        print(f"diffill engine: {error}", file=sys.stderr)
        status = EXIT_UNUSABLE
    sys.stderr.flush()
    # The decoding thread may be in the middle of a forward pass or of a load: the interpreter's own shutdown would
    # pull the runtime from under it and abort.
    os._exit(status)


if __name__ == "__main__":
    main()
