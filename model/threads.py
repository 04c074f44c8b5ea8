"""How many cores a request decodes on: those that nobody else is using.

Threads of one step wait for each other many times. When another program takes a core, the step waits for that program
each time: measured on 2 cores beside one busy program, a 20-token step took 149 ms on two threads and 30 ms on one,
against 24 and 28 ms on an idle machine.
"""

from __future__ import annotations

import os
import time

import psutil

MIN_SECONDS = 0.05
"""Shorter intervals say nothing: the kernel counts in hundredths of a second."""


class FreeCores:
    """Cores that were free since the last look."""

    def __init__(self, cores: int | None = None) -> None:
        self.cores = cores or available_cores()
        self._process = psutil.Process()
        self._seen = self._look()
        self._free = self.cores

    def count(self) -> int:
        """At least 1. Call it before a request; the answer is about the time since the last call."""
        now = self._look()
        seconds = now[0] - self._seen[0]
        if seconds >= MIN_SECONDS:
            others = (now[1] - self._seen[1] - (now[2] - self._seen[2])) / seconds
            self._free = free_cores(self.cores, others)
            self._seen = now
        return self._free

    def _look(self) -> tuple[float, float, float]:
        """Wall clock, processor seconds of the whole machine, processor seconds of this process."""
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0) - getattr(machine, "guest", 0.0)
        own = self._process.cpu_times()
        return time.monotonic(), busy, own.user + own.system


def available_cores() -> int:
    """Cores that this process may run on. Two threads on one core share what a step waits for: it counts once."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def free_cores(cores: int, others: float) -> int:
    """Cores left when other programs keep `others` of them busy; a quarter of a core in use counts as one."""
    return max(1, min(cores, cores - int(others + 0.75)))
