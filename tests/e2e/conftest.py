"""What every real editor under test shares."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """One engine for the whole run, as a person has one; a short path, for sockets have about a hundred bytes."""
    directory = Path(tempfile.mkdtemp(prefix="dfl-"))
    environment = {
        "DIFFILL_RUNTIME_DIR": str(directory),
        "DIFFILL_STATE_DIR": str(directory / "state"),
        "DIFFILL_DEVICE": "cpu",
    }
    yield environment
    subprocess.run(
        [sys.executable, "-m", "diffill.cli.main", "engine", "stop"], env=os.environ | environment, capture_output=True
    )
    shutil.rmtree(directory, ignore_errors=True)
