"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def state_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers under test must not write into the figures of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFILL_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        yield
