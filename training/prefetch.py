"""Work done ahead: the next steps' batches are made while the device is busy with this one."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(make: Callable[[int], Item], *, depth: int) -> Generator[Item, None, None]:
    """`make(0)`, `make(1)`, … in order, `depth` of them in the making; with depth 0 each when it is asked for.

    Threads are enough: numpy and copies let go of the interpreter. An error of `make` is raised where its item was due.
    """
    if not depth:
        yield from map(make, itertools.count())
        return
    pool = ThreadPoolExecutor(max_workers=depth, thread_name_prefix="batches")
    try:
        coming: collections.deque[Future[Item]] = collections.deque()
        for index in itertools.count():
            coming.append(pool.submit(make, index))
            if len(coming) == depth:
                yield coming.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
