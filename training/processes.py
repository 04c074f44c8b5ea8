"""The processes of one run: each takes its part of every step, all hold the same weights.

`torchrun` starts them, or a run by itself (`followers.py`).

On a CPU too: two processes of one thread each train nearly twice as fast as one of two, whose products of matrices in
bf16 gain nothing from the second thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


def leads() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return _rank() == 0


def started_by_hand() -> bool:
    """Whether `torchrun`, or the like, started this process as one of several."""
    return "WORLD_SIZE" in os.environ


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


class Processes:
    """One process among its like; alone where none were started."""

    def __init__(self, device: str) -> None:
        """Meet the others, as `torchrun` says where.

        Args:
            device: what they compute on, "cuda" or "cpu".
        """
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = _rank()
        if self.count > 1 and not dist.is_initialized():
            if device == "cuda":
                torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            dist.init_process_group("nccl" if device == "cuda" else "gloo")

    def part(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of a step's work; the shares of all are the whole."""
        return items[self.rank :: self.count]

    def passes(self, items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
        """As `part`, as many in every process; where there is none left another one stands in, which does not count.

        Shared out weights are gathered by all processes together or by none.
        """
        for start in range(0, len(items), self.count):
            index = start + self.rank
            yield items[min(index, len(items) - 1)], index < len(items)

    def meet(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            dist.barrier()

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.count > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def follow(self, value: float) -> float:
        """The leader's value: what depends on a clock or a signal must be decided once."""
        if self.count == 1:
            return value
        said = torch.tensor([value], dtype=torch.float64)
        if dist.get_backend() == "nccl":
            said = said.cuda()
        dist.broadcast(said, src=0)
        return float(said)
