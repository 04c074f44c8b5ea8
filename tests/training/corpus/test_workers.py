"""Work on several processes: an interrupt leaves none behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

SCRIPT = """
import multiprocessing, time
from diffill.training.corpus.workers import run_all, worker_pool

def show(stage, done, total):
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    with worker_pool(2) as pool:
        run_all(pool, time.sleep, [0, 600, 600], "sleep", show)
"""
HANG_GUARD_SECONDS = 60


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_an_interrupt_ends_the_workers() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert workers and all(map(is_alive, workers))
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_GUARD_SECONDS) != 0
    end = time.monotonic() + HANG_GUARD_SECONDS
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))
