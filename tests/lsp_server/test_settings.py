"""Settings: a wrong one is named and the default used; the others stay."""

from __future__ import annotations

import pytest

from diffill.lsp_server.settings import Settings, read_settings


def test_all_settings_are_read() -> None:
    values = {
        "mode": "ar",
        "device": "cpu",
        "enable": {"*": False, "python": True},
        "maxTokens": 16,
        "logLevel": "debug",
    }
    settings, problems = read_settings(values)
    assert not problems
    assert settings == Settings(
        mode="ar", device="cpu", enable={"*": False, "python": True}, max_tokens=16, log_level="debug"
    )
    assert settings.is_enabled("python") and not settings.is_enabled("go")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "fast"),
        ("mode", ["ar"]),
        ("device", 3),
        ("device", ""),
        ("enable", True),
        ("enable", {"python": "yes"}),
        ("maxTokens", 0),
        ("maxTokens", True),
        ("maxTokens", 1.5),
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
