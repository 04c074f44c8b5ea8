"""Processes that a run starts by itself: they make its steps, end with it, and one that is killed is one line."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
import torch.distributed as dist

from diffill.training import followers as module
from diffill.training.followers import followers, followers_worth_starting
from diffill.training.processes import Processes


def add_ranks(turns: int, out: Path | None = None) -> float:
    """What each process does: sums over all of them, one after the other."""
    processes = Processes("cpu")
    total = torch.zeros(())
    for _ in range(turns):
        total = torch.tensor(float(1 + processes.rank))
        processes.add_up([total])
    if out is not None:
        (out / str(processes.rank)).write_text(str(os.environ["OMP_NUM_THREADS"]))
    return float(total)


def end_in_mid_run(turns: int) -> None:
    """Follows for one turn, then it is gone."""
    add_ranks(1)
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    add_ranks(1)
    raise OSError("/home/somebody is full")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process, nothing in the environment, no group."""
    before = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT", "OMP_NUM_THREADS")}
    threads = torch.get_num_threads()
    yield
    assert not dist.is_initialized()
    assert torch.get_num_threads() == threads
    assert {name: os.environ.get(name) for name in before} == before
    children = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    assert children == []


def test_they_share_the_work_with_the_leader(tmp_path: Path) -> None:
    with followers(2, add_ranks, 3, tmp_path):
        assert add_ranks(3, tmp_path) == 1.0 + 2.0 + 3.0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"0": "1", "1": "1", "2": "1"}


def test_none_are_started_for_none() -> None:
    with followers(0, fail):
        assert "WORLD_SIZE" not in os.environ or Processes("cpu").count > 0
        assert not dist.is_initialized()


@pytest.mark.parametrize("target", [end_in_mid_run, fail])
def test_one_that_ends_ends_the_run_in_one_line(target: object, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = (50,) if target is end_in_mid_run else ()
    with pytest.raises(ValueError, match="one of the run's processes ended"), followers(1, target, *arguments):  # type: ignore[arg-type]
        add_ranks(50)
    assert "Traceback" not in capfd.readouterr().err


def test_a_leader_that_fails_takes_them_along() -> None:
    with pytest.raises(OSError, match="disk full"), followers(1, add_ranks, 1_000_000):
        add_ranks(1)
        raise OSError("disk full")


def test_an_interrupt_of_the_whole_group_is_the_leaders_to_answer() -> None:
    with followers(1, add_ranks, 2):
        add_ranks(1)
        for child in psutil.Process().children():
            if "spawn_main" in " ".join(child.cmdline()):
                child.send_signal(signal.SIGINT)
        assert add_ranks(1) == 3.0


def test_as_many_as_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: 4)
    monkeypatch.setattr(module, "free_bytes", lambda device: 10_000_000_000)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert [followers_worth_starting(gigabytes * 1e9) for gigabytes in (1, 2, 3, 6, 20)] == [3, 2, 1, 0, 0]
    monkeypatch.setattr(module, "available_cores", lambda: 64)
    assert followers_worth_starting(1e6) == module.MOST - 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert followers_worth_starting(1e6) == 0, "torchrun has started them"
