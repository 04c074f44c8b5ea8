"""Adapters beside the base: merged in the background while the base decodes, and used from one step to the next.

Merging takes seconds, choosing another network for a step takes none. A few adapters stay; the longest unused goes
first, and what still decodes with it keeps it until it ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from .adapter import Adapter, load_adapter
from .adapter_manifest import MANIFEST_FILE
from .network import Network

MAX_RESIDENT = 4
"""A network of its own each: some 110 MB for the model that ships, in int8."""
NICE = 10
"""Of the thread that merges: who types goes first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Resident:
    """An adapter, and the network that decodes with it."""

    adapter: Adapter
    network: Network

    @property
    def variant(self) -> str:
        """Keys and values are shared by equal weights, wherever they were read from."""
        return self.adapter.manifest.factors.sha256


class Residents:
    """Asked by one thread; merges on another."""

    def __init__(self, base: Path, merged: Callable[[Adapter], Network]) -> None:
        """
        Args:
            base: checkpoint directory.
            merged: makes the network of an adapter; called on the other thread.
        """
        self._base, self._merged = base, merged
        self._thread = ThreadPoolExecutor(1, "adapters", initializer=_step_back)
        self._known: OrderedDict[tuple[Path, int], Future[Resident]] = OrderedDict()

    def get(self, directory: Path) -> Resident | None:
        """None while it is prepared: ask again.

        Raises:
            ValueError: it is missing, broken or not for this base; said again until its files change.
        """
        try:
            key = directory, (directory / MANIFEST_FILE).stat().st_mtime_ns
        except OSError as error:
            raise ValueError(f"adapter: cannot read {directory / MANIFEST_FILE}: {error.strerror}") from None
        if key not in self._known:
            self._known[key] = self._thread.submit(self._prepare, directory)
        self._known.move_to_end(key)
        self._make_room()
        future = self._known[key]
        return future.result() if future.done() else None

    def wait(self, seconds: float) -> None:
        """Until one that is being prepared is ready, but not longer; returns at once when none is."""
        if pending := [future for future in self._known.values() if not future.done()]:
            wait(pending, seconds, "FIRST_COMPLETED")

    def _prepare(self, directory: Path) -> Resident:
        adapter = load_adapter(directory, base=self._base)
        try:
            return Resident(adapter=adapter, network=self._merged(adapter))
        except (RuntimeError, MemoryError) as error:  # of the device: who does without it goes on
            logger.exception("an adapter could not be prepared")
            raise ValueError(f"adapter: {directory} cannot be prepared: {type(error).__name__}") from None

    def _make_room(self) -> None:
        done = [key for key, future in self._known.items() if future.done()]
        for key in done[: max(0, len(self._known) - MAX_RESIDENT)]:
            del self._known[key]


def _step_back() -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "linux":  # elsewhere this would be the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
