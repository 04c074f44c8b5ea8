"""Threads that run a native function together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

MAX_THREADS = 16
"""A step is bound by the memory's bandwidth; more cores than this do not make it faster."""

Native = Callable[[int, int], None]
"""(address of the plan, number of the thread)"""


class Crew:
    """Helpers are started when they are first needed and wait, without spinning, between two runs."""

    def __init__(self) -> None:
        self._orders: list[queue.SimpleQueue[tuple[Native, int] | None]] = []

    def run(self, function: Native, plan: int, threads: int) -> None:
        """Run `function` on so many threads, this one being thread 0. It must end in a barrier of all of them."""
        while len(self._orders) < threads - 1:
            orders: queue.SimpleQueue[tuple[Native, int] | None] = queue.SimpleQueue()
            self._orders.append(orders)
            threading.Thread(target=_obey, args=(orders, len(self._orders)), name="step", daemon=True).start()
        for orders in self._orders[: threads - 1]:
            orders.put((function, plan))
        function(plan, 0)

    def __del__(self) -> None:
        for orders in self._orders:
            orders.put(None)


def _obey(orders: queue.SimpleQueue[tuple[Native, int] | None], thread: int) -> None:
    while (order := orders.get()) is not None:
        function, plan = order
        function(plan, thread)
