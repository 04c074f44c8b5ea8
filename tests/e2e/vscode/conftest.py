"""Real editors with the real server, engine and weights. `make e2e` sets them up; else these tests are skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="part of the extra e2e")

from tests.e2e.vscode.workbench import Installation, Workbench, running

ROOT = Path(__file__).parents[3]
EDITORS = Path(os.environ.get("DIFFILL_EDITORS", ROOT / "build" / "editors"))
ARTIFACTS = ROOT / "build" / "screenshots"
EXTENSION = ROOT / "editor-extension" / "vscode"
VERSIONS = ("4.139.1", "4.100.3")


@pytest.fixture(scope="session", params=VERSIONS)
def installation(request: pytest.FixtureRequest) -> Installation:
    directory = EDITORS / f"vscode-{request.param}"
    if not (directory / "ready").exists():
        pytest.skip(f"no VS Code in {directory}: run `make e2e`")
    return Installation(directory=directory)


@pytest.fixture(scope="session")
def vsix() -> Path:
    """The extension, packed from the sources as they are."""
    subprocess.run(["npm", "run", "--silent", "package"], cwd=EXTENSION, check=True, capture_output=True)
    return EXTENSION / "dist" / "diffill.vsix"


@pytest.fixture(scope="module")
def open_window(
    installation: Installation, vsix: Path, engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Workbench]]:
    """Opens a window on a folder of files; closed at the end of the module."""
    with ExitStack() as windows:

        def open_window(workspace: Path, **settings: object) -> Workbench:
            return windows.enter_context(
                running(
                    installation,
                    workspace=workspace,
                    data=tmp_path_factory.mktemp("data"),
                    vsix=vsix,
                    settings={"diffill.interpreter": sys.executable} | settings,
                    environment=engine,
                )
            )

        yield open_window


@pytest.fixture(autouse=True)
def screenshot(request: pytest.FixtureRequest) -> Iterator[None]:
    """What was on the screen when a test ended."""
    yield
    window = request.node.funcargs.get("window")
    if isinstance(window, Workbench):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name).strip("-")
        window.page.screenshot(path=ARTIFACTS / f"vscode-{name}.png")
