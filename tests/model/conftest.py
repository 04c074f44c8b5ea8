"""Numeric tests run on one thread: the models are tiny, and threads that wait for busy cores only slow them down."""

from __future__ import annotations

import pytest
import torch

from diffill.model.threads import FreeCores

torch.set_num_threads(1)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what a decoder computes too, which would take every free core."""
    monkeypatch.setattr(FreeCores, "count", lambda self: 1)
