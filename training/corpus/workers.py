"""Work on all cores, or in this process when one is asked for."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")
Pool = ProcessPoolExecutor | None
Progress = Callable[[str, int, int], None]
"""Stage, done, total."""


def run_all(
    pool: Pool, work: Callable[[Job], Done], jobs: Sequence[Job], stage: str, on_progress: Progress
) -> list[Done]:
    """Results in the order of the jobs. The first failure ends the run; what is finished stays on disk.

    An interrupt ends the workers too: what they write is written whole or not at all.
    """
    results: dict[int, Done] = {}
    try:
        for index, result in _completed(pool, work, jobs):
            results[index] = result
            on_progress(stage, len(results), len(jobs))
    except BaseException as error:
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
            if not isinstance(error, Exception):
                for worker in multiprocessing.active_children():
                    worker.terminate()
        raise
    return [results[index] for index in range(len(jobs))]


@contextlib.contextmanager
def worker_pool(processes: int | None) -> Iterator[Pool]:
    """All cores when `processes` is None."""
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # fork and the tokenizer's threads do not mix
    with ProcessPoolExecutor(max_workers=processes, mp_context=context) as pool:
        yield pool


def _completed(pool: Pool, work: Callable[[Job], Done], jobs: Sequence[Job]) -> Iterator[tuple[int, Done]]:
    if pool is None:
        yield from ((index, work(job)) for index, job in enumerate(jobs))
        return
    futures: dict[Future[Done], int] = {pool.submit(work, job): index for index, job in enumerate(jobs)}
    for future in as_completed(futures):
        yield futures[future], future.result()
