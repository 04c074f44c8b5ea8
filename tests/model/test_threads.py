from __future__ import annotations

import subprocess
import sys
import time

import pytest

from diffill.model.threads import FreeCores, available_cores, free_cores


@pytest.mark.parametrize(
    "cores, others, free",
    [(2, 0.0, 2), (2, 0.2, 2), (2, 0.3, 1), (2, 2.0, 1), (8, 1.2, 7), (8, 9.0, 1), (1, 0.0, 1), (4, -0.3, 4)],
)
def test_cores_that_others_use_are_left_to_them(cores: int, others: float, free: int) -> None:
    assert free_cores(cores, others) == free


def test_our_own_work_is_not_counted_as_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = FreeCores(4)
    cores._seen = (10.0, 100.0, 20.0)
    looks = iter([(11.0, 103.0, 23.0), (12.0, 106.0, 24.0)])
    monkeypatch.setattr(cores, "_look", lambda: next(looks))
    assert cores.count() == 4  # three busy cores, all ours
    assert cores.count() == 2  # three busy cores, two of somebody else


def test_a_busy_program_beside_us_is_noticed() -> None:
    """Enough of them to fill the machine."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(available_cores())]
    try:
        cores = FreeCores()
        time.sleep(1.0)
        assert cores.count() == 1
    finally:
        for process in busy:
            process.kill()
            process.wait()
