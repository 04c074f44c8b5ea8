"""Processes that a run starts by itself and leads: a CPU trains with each nearly as fast again (`processes.py`).

They meet as under `torchrun`, by the same names in the environment, but on this machine's own loopback only.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import torch
import torch.distributed as dist

from diffill.model.device import free_bytes
from diffill.model.threads import available_cores

from .processes import started_by_hand

MOST = 8
"""More would make steps larger, and fewer of them, than a short run can use."""
SHARE_OF_MEMORY = 0.7
LEAVING_SECONDS = 20.0


def followers_worth_starting(bytes_each: float) -> int:
    """As many as there are cores and memory for, less one for this process; none where `torchrun` started it."""
    if started_by_hand():
        return 0
    return max(1, min(available_cores(), int(SHARE_OF_MEMORY * free_bytes("cpu") / bytes_each), MOST)) - 1


@contextlib.contextmanager
def followers(count: int, target: Callable[..., object], *arguments: object) -> Iterator[None]:
    """`count` processes do `target(*arguments)` while the block, which leads them, does the same here.

    Args:
        target: a function of a module, which makes `Processes` and shares their work out.

    Raises:
        ValueError: one of them ended before the block did.
    """
    if not count:
        yield
        return
    there = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(count + 1),
        "GLOO_SOCKET_IFNAME": "lo0" if sys.platform == "darwin" else "lo",
        "OMP_NUM_THREADS": "1",
    }
    context = multiprocessing.get_context("spawn")
    others: list[BaseProcess] = [
        context.Process(target=_follow, args=(there | {"RANK": str(rank)}, target, arguments), daemon=True)
        for rank in range(1, count + 1)
    ]
    threads = torch.get_num_threads()
    with _environment(there | {"RANK": "0"}):
        for other in others:
            other.start()
        torch.set_num_threads(1)
        try:
            yield
        except RuntimeError as error:  # what gloo says when a connection breaks
            if any(other.exitcode for other in others) or "gloo" in str(error).lower():
                raise ValueError(
                    "one of the run's processes ended; what was last saved stays, and the same command goes on"
                ) from None
            raise
        finally:
            torch.set_num_threads(threads)
            if dist.is_initialized():
                dist.destroy_process_group()
            _see_off(others, patient=sys.exc_info()[0] is None)


def _follow(there: dict[str, str], target: Callable[..., object], arguments: tuple[object, ...]) -> None:
    os.environ.update(there)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # a terminal tells the whole group; the leader decides
    torch.set_num_threads(1)
    try:
        target(*arguments)
    except Exception:
        sys.exit(1)  # the leader finds the same, and says it


def _see_off(others: list[BaseProcess], *, patient: bool) -> None:
    for other in others:
        if other.pid is None:
            continue  # it never started
        other.join(LEAVING_SECONDS if patient else 0.0)
        if other.is_alive():
            other.kill()
            other.join()


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
