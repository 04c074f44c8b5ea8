"""The pictures in the extension's README and walkthrough, taken from the real editor: `make pictures`."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from ruff import find_ruff_bin

from tests.e2e.vscode.alone import engine_directory, ready_window
from tests.e2e.vscode.conftest import EXTENSION, pack_ruff
from tests.e2e.vscode.test_repairs import RENAMED, UNDEFINED
from tests.e2e.vscode.test_rewrites import BASKET
from tests.e2e.vscode.test_typing import STOCK
from tests.e2e.vscode.workbench import Workbench

SIZE = (860, 400)
COLOURS = 160
SETTINGS = {
    "breadcrumbs.enabled": False,
    "editor.minimap.enabled": False,
    "editor.fontSize": 15,
    "workbench.activityBar.location": "hidden",
    "workbench.layoutControl.enabled": False,
    "workbench.colorTheme": "Default Light Modern",
    "window.commandCenter": False,
    "window.menuBarVisibility": "hidden",
}


class Film:
    """Frames with how long each is shown, in milliseconds."""

    def __init__(self, window: Workbench) -> None:
        self._window = window
        self._frames: list[tuple[Image.Image, int]] = []

    def take(self, milliseconds: int) -> Image.Image:
        image = Image.open(io.BytesIO(self._window.page.screenshot())).convert("RGB")
        self._frames.append((image, milliseconds))
        return image

    def type(self, text: str) -> None:
        for letter in text:
            self._window.type(letter)
            self.take(90)

    def save(self, path: Path) -> None:
        samples = [image for image, _ in self._frames[::4]]
        together = Image.new("RGB", (SIZE[0], SIZE[1] * len(samples)))
        for index, sample in enumerate(samples):
            together.paste(sample, (0, SIZE[1] * index))
        palette = together.quantize(COLOURS)  # one for all frames, so that nothing shimmers
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image, _ in self._frames]
        durations = [milliseconds for _, milliseconds in self._frames]
        images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=True)


def shoot(window: Workbench, media: Path) -> None:
    film = Film(window)
    window.open_new("stock.py", STOCK)
    window.press("Control+b", "Control+End", "ArrowUp", "End")
    film.take(600)
    film.type("self.items")
    window.wait_for_ghost_text()
    film.take(1_400).save(media / "complete.png", optimize=True)
    window.press("Tab")
    window.wait_for_no_ghost_text()
    film.take(1_200)

    window.open_new("total.py", UNDEFINED)
    window.press("Control+Home", "ArrowDown", "End", "ArrowLeft", "ArrowLeft")
    window.page.locator(".squiggly-warning").first.wait_for()
    film.take(900)
    window.press("Control+.")
    window.page.locator(".action-widget .monaco-list-row", has_text="Fix this").first.wait_for()
    film.take(1_400).save(media / "fix.png", optimize=True)
    window.choose_action("Fix this")
    window.wait_until(lambda: "sum(items)" in window.text())
    film.take(1_400)

    window.open_new("area.py", RENAMED)
    window.press("Control+Home", "ArrowDown", "Home", "Control+Shift+ArrowRight")
    film.type("side")
    window.wait_until(lambda: window.drawn().count("side") == 3)
    film.take(1_400).save(media / "next-edit.png", optimize=True)
    for _ in range(6):
        window.press("Alt+Enter")
        window.page.wait_for_timeout(300)
        film.take(400)
    film.take(1_200)
    film.save(media / "diffill.gif")

    window.open_new("basket.py", BASKET)
    window.press("Control+End", "ArrowUp", "ArrowUp", "Control+Alt+r")
    window.page.locator(".quick-input-widget input").wait_for()
    window.type("rename count to size", delay_ms=5)
    window.page.screenshot(path=media / "rewrite.png")
    window.press("Escape")  # what the model would answer is not in the picture


def main() -> None:
    media = EXTENSION / "media"
    media.mkdir(exist_ok=True)
    with engine_directory() as (directory, environment):
        ruff = {"RUFF": find_ruff_bin()}
        others = [pack_ruff(directory)]
        with ready_window(
            directory, name="shop", settings=SETTINGS, environment=environment | ruff, extensions=others, size=SIZE
        ) as window:
            shoot(window, media)


if __name__ == "__main__":
    main()
