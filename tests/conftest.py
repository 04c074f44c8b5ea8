"""What holds for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import torch

from tests.engine_process import private_directory, processes_in

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read where triton is imported first, which may be by another library

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell without job control starts background jobs so, and every process of ours would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def places_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is tested must not write into the figures of whoever runs it, use adapters or engines of theirs, nor leave
    an engine behind."""
    with pytest.MonkeyPatch.context() as patch, private_directory() as runtime:
        patch.setenv("DIFFILL_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        patch.setenv("DIFFILL_RUNTIME_DIR", str(runtime))
        yield
        for engine in processes_in(str(runtime)):
            engine.kill()
