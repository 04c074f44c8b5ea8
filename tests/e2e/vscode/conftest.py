"""Real editors with the real server, engine and weights. `make e2e` sets them up; else these tests are skipped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="part of the extra e2e")

from playwright.sync_api import Browser
from ruff import find_ruff_bin

from tests.e2e.vscode.installation import Installation, chromium, running
from tests.e2e.vscode.workbench import Workbench

ROOT = Path(__file__).parents[3]
EDITORS = Path(os.environ.get("DIFFILL_EDITORS", ROOT / "build" / "editors"))
EXTENSION = ROOT / "editor-extension" / "vscode"
SOON_MS = 3_000
FOCUSED = "() => `${document.hasFocus()} ${document.activeElement?.outerHTML.slice(0, 200)}`"
VERSIONS = ("4.139.1", "4.100.3")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The older version runs what touches the editor's own interfaces; what is said of a fault does not differ."""
    left_out = [item for item in items if _version(item) in VERSIONS[1:] and item.get_closest_marker("older") is None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _version(item: pytest.Item) -> object:
    call = getattr(item, "callspec", None)
    return None if call is None else call.params.get("installation")


@pytest.fixture(scope="session", params=VERSIONS)
def installation(request: pytest.FixtureRequest) -> Installation:
    directory = EDITORS / f"vscode-{request.param}"
    if not (directory / "ready").exists():
        pytest.skip(f"no VS Code in {directory}: run `make e2e`")
    return Installation(directory=directory)


@pytest.fixture(scope="session")
def vsix() -> Path:
    """The extension, packed from the sources as they are."""
    packed = EXTENSION / "dist" / "diffill.vsix"
    sources = [*EXTENSION.glob("*.*"), *EXTENSION.glob("src/*"), *EXTENSION.glob("media/*")]
    if not packed.exists() or any(source.stat().st_mtime > packed.stat().st_mtime for source in sources):
        subprocess.run(["npm", "run", "--silent", "package"], cwd=EXTENSION, check=True, capture_output=True)
    return packed


@pytest.fixture(scope="session")
def ruff_vsix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another extension, which reports what the real ruff finds."""
    return pack_ruff(tmp_path_factory.mktemp("ruff"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def window(
    installation: Installation,
    browser: Browser,
    vsix: Path,
    ruff_vsix: Path,
    engine: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Workbench]:
    """One window on a workspace of two folders, with the model loaded."""
    workspace = tmp_path_factory.mktemp("workspace")
    for folder in ("one", "two"):
        (workspace / folder).mkdir()
    file = workspace / "both.code-workspace"
    file.write_text(json.dumps({"folders": [{"path": "one"}, {"path": "two"}], "settings": {"diffill.confidence": 0}}))
    with running(
        installation,
        browser,
        workspace=file,
        data=tmp_path_factory.mktemp("data"),
        extensions=[vsix, ruff_vsix],
        settings={"diffill.interpreter": sys.executable},
        environment=engine | {"RUFF": find_ruff_bin()},
    ) as window:
        window.wait_until_ready()
        yield window


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What was said when a test failed: messages are on the screen for some seconds only."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for window in item.funcargs.values():
            if isinstance(window, Workbench):
                window.photograph(f"failed {item.name}")
                report.sections.append(("focus", str(window.page.evaluate(FOCUSED))))
                report.sections.append(("Diffill.log", "\n".join(window.log()[-60:])))
                window.page.locator("[id='status.notifications'] a").click(timeout=SOON_MS)
                report.sections.append(("messages", "\n".join(window.notifications())))
    return report


@pytest.fixture(autouse=True)
def log_without_errors(request: pytest.FixtureRequest) -> Iterator[None]:
    window = request.getfixturevalue("window") if "window" in request.fixturenames else None
    before = len(window.errors()) if isinstance(window, Workbench) else 0
    yield
    if isinstance(window, Workbench) and request.node.get_closest_marker("faults") is None:
        assert window.errors()[before:] == []


@pytest.fixture(autouse=True)
def screenshot(request: pytest.FixtureRequest, log_without_errors: None) -> Iterator[None]:
    """What was on the screen when a test ended."""
    yield
    for window in request.node.funcargs.values():
        if isinstance(window, Workbench):
            window.photograph(request.node.name)


def pack_ruff(directory: Path) -> Path:
    """The extension of the folder `ruff`, packed into `directory`."""
    path = directory / "ruff-problems.vsix"
    with zipfile.ZipFile(path, "w") as archive:
        for file in (Path(__file__).parent / "ruff").iterdir():
            archive.write(file, f"extension/{file.name}")
    return path
