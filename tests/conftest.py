"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def state_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is tested must neither write into the figures of whoever runs it nor use adapters of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFILL_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield
