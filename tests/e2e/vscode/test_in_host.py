"""Tests that run inside VS Code's extension host, where the API is; `in_host/index.js` holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.vscode.workbench import Workbench


@pytest.mark.older
def test_everything_holds_inside_the_extension_host(window: Workbench) -> None:
    results = window.run_inside(Path(__file__).parent / "in_host")
    assert len(results) > 1
    failed = {name: error for name, error in results.items() if error is not None}
    assert not failed, "\n".join(f"{name}: {error}" for name, error in failed.items())
