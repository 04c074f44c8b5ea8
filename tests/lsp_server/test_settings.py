"""Settings: a wrong one is named and the default used; the others stay."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from diffill.lsp_server.settings import SETTINGS, Settings, read_settings

ROOT = Path(__file__).parents[2]


def test_all_settings_are_read() -> None:
    values = {
        "mode": "ar",
        "device": "cpu",
        "enable": {"*": False, "python": True},
        "maxTokens": 16,
        "syntaxGuidance": False,
        "logLevel": "debug",
    }
    settings, problems = read_settings(values)
    assert not problems
    assert settings == Settings(
        mode="ar",
        device="cpu",
        enable={"*": False, "python": True},
        max_tokens=16,
        syntax_guidance=False,
        log_level="debug",
    )
    assert settings.is_enabled("python") and not settings.is_enabled("go")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "fast"),
        ("mode", ["ar"]),
        ("device", 3),
        ("device", ""),
        ("model", 3),
        ("enable", True),
        ("enable", {"python": "yes"}),
        ("maxTokens", 0),
        ("maxTokens", True),
        ("maxTokens", 1.5),
        ("syntaxGuidance", "yes"),
        ("syntaxGuidance", 1),
        ("logLevel", "loud"),
        ("modes", "ar"),
    ],
)
def test_a_wrong_one_is_named_and_its_default_used(name: str, value: object) -> None:
    settings, problems = read_settings({name: value, "enable": {"go": False}} if name != "enable" else {name: value})
    assert len(problems) == 1 and problems[0].startswith(f"diffill.{name}:")
    assert settings == (Settings(enable={"go": False}) if name != "enable" else Settings())


@pytest.mark.parametrize("values", [None, {}, {"mode": None}, {"trace": {"server": "off"}}])
def test_absent_settings_and_those_of_the_extensions_are_no_problem(values: object) -> None:
    assert read_settings(values) == (Settings(), [])


def test_something_else_than_an_object() -> None:
    assert read_settings("ar") == (Settings(), ["diffill: the settings are not an object"])


def documented() -> dict[str, object]:
    """Names and defaults of the table in the documentation; a default in words is text."""
    text = (ROOT / "docs" / "language-server.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", text.partition("## Settings")[2].partition("\n## ")[0], re.M)
    return {name: json.loads(default[1:-1]) if default.startswith("`") else default for name, default in rows}


def test_the_documentation_names_every_setting_and_its_default() -> None:
    table = documented()
    assert set(table) == set(SETTINGS)
    for name, default in table.items():
        field = SETTINGS[name][0]
        in_words = name in ("delay", "maxTokens")  # the server chooses
        settings, problems = read_settings({} if in_words else {name: default})
        assert not problems
        assert getattr(settings, field) == getattr(Settings(), field)
        assert (getattr(Settings(), field) is None) == in_words


def test_the_extension_offers_every_setting_of_the_server_and_none_that_it_refuses() -> None:
    package = json.loads((ROOT / "editor-extension" / "vscode" / "package.json").read_text("utf-8"))
    properties = package["contributes"]["configuration"]["properties"]
    offered = {name.removeprefix("diffill.").partition(".")[0]: options for name, options in properties.items()}
    assert set(SETTINGS) <= set(offered)
    _, problems = read_settings({name: options.get("default") for name, options in offered.items()})
    assert not problems
