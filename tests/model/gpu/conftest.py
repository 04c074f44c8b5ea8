"""Kernels run on the GPU where there is one, and elsewhere as Python in Triton's interpreter: the same tests."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("triton", reason="kernels need triton: pip install 'diffill[gpu]'")


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device here"))
