"""Steps of a few fixed shapes, each recorded once as a CUDA graph and then replayed: one launch instead of hundreds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable

import torch

logger = logging.getLogger(__name__)

Work = Callable[[], None]
Capture = Callable[[Work], Work]
"""Runs some work once, records it and returns its replay. It raises RuntimeError where the device cannot."""


class GraphRunner:
    """Replays what it has recorded; records what it has not; runs as it is what cannot be recorded.

    Work that is recorded reads and writes the same memory each time.
    """

    def __init__(self, capture: Capture | None) -> None:
        """
        Args:
            capture: None runs everything as it is.
        """
        self._capture = capture
        self._replays: dict[Hashable, Work] = {}
        self._memory: Hashable = None

    @property
    def recorded(self) -> int:
        """How many graphs there are."""
        return len(self._replays)

    def run(self, key: Hashable, work: Work, *, memory: Hashable) -> None:
        """Do `work`, which is the same for equal keys as long as `memory` is.

        Args:
            memory: what stands for memory of others that the work touches, such as the address of the cache. When it
                changes, all that was recorded is void.
        """
        if memory != self._memory:
            self._replays.clear()
            self._memory = memory
        if replay := self._replays.get(key):
            replay()
        elif self._capture is None:
            work()
        else:
            self._record(key, work, self._capture)

    def _record(self, key: Hashable, work: Work, capture: Capture) -> None:
        try:
            self._replays[key] = capture(work)
        except torch.OutOfMemoryError:
            raise  # whoever asked makes room and comes again
        except RuntimeError as error:
            first_line = (str(error).splitlines() or [type(error).__name__])[0]
            logger.warning("steps are not recorded as CUDA graphs, which costs time: %s", first_line)
            self._capture = None
            work()


def cuda_graphs() -> Capture:
    """Recording on the current CUDA device."""
    pool = torch.cuda.graph_pool_handle()

    def capture(work: Work) -> Work:
        work()  # compiles kernels, which must not happen while recording; and its result is the first one
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Another thread may be loading an adapter's weights meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            work()  # is written down, not done
        return graph.replay

    return capture
