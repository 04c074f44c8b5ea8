"""A machine without Python or network and a workspace that is not trusted: what is said, and that nothing is run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.e2e.vscode.installation import Installation, running
from tests.e2e.vscode.workbench import Workbench

NOT_INSTALLED = "The Diffill server is not installed"


@pytest.fixture(scope="module")
def programs(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The only folder on PATH."""
    return tmp_path_factory.mktemp("bin")


@pytest.fixture(scope="module")
def bare(
    installation: Installation, browser: Browser, vsix: Path, programs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Workbench]:
    directory = tmp_path_factory.mktemp("bare")
    (directory / "one").mkdir()
    workspace = directory / "bare.code-workspace"
    command = ["/bin/sh", "-c", f": > {directory / 'was-run'}"]
    settings = {"diffill.command": command}
    workspace.write_text(json.dumps({"folders": [{"path": "one"}], "settings": settings}))
    with running(
        installation,
        browser,
        workspace=workspace,
        data=tmp_path_factory.mktemp("data"),
        extensions=[vsix],
        settings={"security.workspace.trust.enabled": True, "security.workspace.trust.startupPrompt": "never"},
        environment={
            "PATH": str(programs),
            "HOME": str(directory),
            "PIP_INDEX_URL": "http://127.0.0.1:9/",
            "PIP_RETRIES": "0",
            "PIP_CONFIG_FILE": "/dev/null",
        },
        trusted=False,
    ) as window:
        yield window


def test_the_command_of_a_workspace_is_run_only_once_it_is_trusted(bare: Workbench) -> None:
    ran = bare.workspace.with_name("was-run")
    bare.wait_for_notification(NOT_INSTALLED)
    bare.photograph("not installed")
    assert not ran.exists()
    bare.command("Workspaces: Manage Workspace Trust")
    bare.page.locator(".workspace-trust-editor .monaco-button", has_text="Trust").first.click()
    bare.wait_until(ran.exists)
    bare.wait_for_notification("Diffill could not start.")
    bare.command("Notifications: Clear All Notifications")
    bare.set_in_workspace("diffill.command", None)
    bare.wait_for_notification(NOT_INSTALLED)
    bare.command("Notifications: Clear All Notifications")


def test_without_python_it_says_what_is_needed(bare: Workbench) -> None:
    bare.command("Diffill: Install or Repair the Server")
    bare.wait_for_notification("Diffill needs Python 3.10 or newer, and none is on PATH.")
    bare.command("Notifications: Clear All Notifications")


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        (f'exec {sys.executable} "$@"', ""),
        (
            "echo 'OSError: [Errno 28] No space left on device' >&2; exit 1",
            "OSError: [Errno 28] No space left on device",
        ),
    ],
    ids=["no network", "full disk"],
)
def test_what_cannot_be_installed_leaves_nothing_half_done(
    bare: Workbench, programs: Path, python: str, reason: str
) -> None:
    program = programs / "python3"
    program.write_text(f"#!/bin/sh\n{python}\n")
    program.chmod(0o755)
    bare.command("Diffill: Install or Repair the Server")
    bare.wait_for_notification(f"Diffill was not installed: {reason}")
    assert any("Without a network:" in text for text in bare.notifications())
    storage = bare.workspace.parent.parent.glob("data*/user/User/globalStorage/diffill.diffill/*")
    assert [path.name for path in storage if path.name.startswith("environment")] == []
    bare.command("Notifications: Clear All Notifications")
