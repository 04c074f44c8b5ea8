"""The newest VS Code with a folder and an engine of its own, for what is measured or photographed outside of tests."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.command_line import run
from tests.e2e.vscode.conftest import EDITORS, EXTENSION, VERSIONS
from tests.e2e.vscode.installation import Installation, chromium, running
from tests.e2e.vscode.workbench import Workbench


@contextlib.contextmanager
def engine_directory() -> Iterator[tuple[Path, dict[str, str]]]:
    """A directory, and the environment that keeps an engine and its usage log in it; both are gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="dfl-"))
    environment = {"DIFFILL_RUNTIME_DIR": str(directory / "run"), "DIFFILL_STATE_DIR": str(directory / "state")}
    try:
        yield directory, environment
    finally:
        run("engine", "stop", **environment)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def ready_window(
    directory: Path,
    *,
    name: str,
    settings: dict[str, Any],
    environment: dict[str, str],
    extensions: Sequence[Path] = (),
    size: tuple[int, int] = (1280, 800),
) -> Iterator[Workbench]:
    """A window on the workspace `name`, made in `directory`, with our extension and others and the model loaded."""
    (directory / "one").mkdir()
    workspace = directory / f"{name}.code-workspace"
    workspace.write_text(json.dumps({"folders": [{"path": "one"}], "settings": {}}))
    with (
        chromium() as browser,
        running(
            Installation(directory=EDITORS / f"vscode-{VERSIONS[0]}"),
            browser,
            workspace=workspace,
            data=directory / "data",
            extensions=[EXTENSION / "dist" / "diffill.vsix", *extensions],
            settings={"diffill.interpreter": sys.executable} | settings,
            environment=environment,
            size=size,
        ) as window,
    ):
        window.wait_until_ready()
        yield window
