"""What a new user is shown of the extension: every step of the walkthrough, with its picture."""

from __future__ import annotations

import json

import pytest

from tests.e2e.vscode.conftest import EXTENSION
from tests.e2e.vscode.workbench import Workbench

(WALKTHROUGH,) = json.loads((EXTENSION / "package.json").read_text("utf-8"))["contributes"]["walkthroughs"]
LOADED = "image => image.complete && image.naturalWidth > 0"


@pytest.mark.older
def test_every_step_shows_its_picture(window: Workbench) -> None:
    window.command("Welcome: Open Walkthrough...")
    window.choose(WALKTHROUGH["title"], WALKTHROUGH["title"])
    for step in WALKTHROUGH["steps"]:
        window.page.locator(".getting-started-step", has_text=step["title"]).click()
        picture = window.page.locator(".getting-started-media").get_by_alt_text(step["media"]["altText"], exact=True)
        picture.wait_for(state="attached")  # newer versions keep it for wide windows
        window.wait_until(lambda picture=picture: bool(picture.evaluate(LOADED)), about=step["id"])
        window.photograph(f"walkthrough {step['id']}")
