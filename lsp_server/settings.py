"""What a user can set: `initializationOptions`, and section `diffill` of the editor's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from diffill.model.request import MAX_CANDIDATES, MAX_NEW_TOKENS, Mode

MAX_DELAY = 2_000
Scope = Literal["file", "workspace"]
LogLevel = Literal["error", "warning", "info", "debug"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of the server, with its default."""

    mode: Mode = "verify"
    """How the model decodes."""
    device: str = ""
    """Where the engine runs (`cpu`, `cuda`, `mps`); empty leaves it to the environment, then to the machine."""
    model: str = ""
    """Directory of the checkpoint; empty leaves it to the environment, then to the one that comes with Diffill."""
    enable: Mapping[str, bool] = field(default_factory=lambda: {"*": True})
    """By language id; `*` stands for every language not named."""
    exclude: tuple[str, ...] = ()
    """Patterns of paths, such as `*/generated/*`, in which nothing is offered."""
    statistics: bool = True
    """Whether figures of what was offered and kept are written to a file on this machine."""
    max_tokens: int | None = None
    """Limit of one completion; None leaves it to the kind of span."""
    context: Scope = "file"
    """What is shown to the model: the file alone, or also what it imports and open files like it."""
    alternatives: int = 3
    """How many completions are offered when the person asks for them."""
    confidence: float = 0.1
    """Shown by itself only if at least so likely to be right, from 0 (everything) to 1."""
    delay: int | None = None
    """Milliseconds to wait after a keystroke before the model is asked; None follows the person's own rhythm."""
    syntax_guidance: bool = True
    """Where an answer would break the syntax around it, the engine takes other tokens near the error."""
    log_level: LogLevel = "info"
    """What is sent to the editor's log."""

    def is_enabled(self, language: str) -> bool:
        return self.enable.get(language, self.enable.get("*", True))


# Keys of the same section that the editor extensions keep for themselves.
_EXTENSION_KEYS = {"trace", "interpreter", "path", "args", "command", "nextEdit", "showNotifications"}


def read_settings(values: object) -> tuple[Settings, list[str]]:
    """Settings from what an editor sent, and one line for each value that is wrong or unknown and therefore ignored."""
    if values is None:
        return Settings(), []
    if not isinstance(values, dict):
        return Settings(), ["diffill: the settings are not an object"]
    problems = []
    accepted: dict[str, Any] = {}
    for name, value in values.items():
        if name in _EXTENSION_KEYS or value is None:
            continue
        setting = SETTINGS.get(name)
        if setting is None:
            problems.append(f"diffill.{name}: there is no such setting")
            continue
        key, is_valid, expected = setting
        if is_valid(value):
            accepted[key] = tuple(value) if isinstance(value, list) else value
        else:
            problems.append(f"diffill.{name}: {expected} is expected; the default is used")
    if accepted.get("device") == "auto":
        del accepted["device"]
    return Settings(**accepted), problems


def _is_language_map(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(enabled, bool) for enabled in value.values())


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _is_number(least: int, most: int, kind: type[int] | type[float]) -> Callable[[object], bool]:
    def is_valid(value: object) -> bool:
        is_kind = isinstance(value, int) or (kind is float and isinstance(value, float))
        return isinstance(value, (int, float)) and is_kind and not isinstance(value, bool) and least <= value <= most

    return is_valid


def _one_of(literal: object) -> tuple[Callable[[object], bool], str]:
    names: tuple[str, ...] = get_args(literal)
    return (lambda value: isinstance(value, str) and value in names), "one of " + ", ".join(names)


# Name in the editor: field, check, what is expected.
SETTINGS: dict[str, tuple[str, Callable[[object], bool], str]] = {
    "mode": ("mode", *_one_of(Mode)),
    "device": ("device", lambda value: isinstance(value, str) and value != "", "the name of a device"),
    "model": ("model", lambda value: isinstance(value, str), "the directory of a checkpoint"),
    "enable": ("enable", _is_language_map, "an object of language ids and true or false"),
    "exclude": ("exclude", _is_list_of_text, "a list of patterns"),
    "statistics": ("statistics", _is_switch, "true or false"),
    "syntaxGuidance": ("syntax_guidance", _is_switch, "true or false"),
    "alternatives": ("alternatives", _is_number(1, MAX_CANDIDATES, int), f"a whole number from 1 to {MAX_CANDIDATES}"),
    "context": ("context", *_one_of(Scope)),
    "confidence": ("confidence", _is_number(0, 1, float), "a number from 0 to 1"),
    "delay": ("delay", _is_number(0, MAX_DELAY, int), f"a whole number of milliseconds from 0 to {MAX_DELAY}"),
    "maxTokens": ("max_tokens", _is_number(1, MAX_NEW_TOKENS, int), f"a whole number from 1 to {MAX_NEW_TOKENS}"),
    "logLevel": ("log_level", *_one_of(LogLevel)),
}
