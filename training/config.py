"""Configuration files: JSON, every key known, paths relative to where the command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

Config = TypeVar("Config", bound=msgspec.Struct)


def read_config(path: Path, kind: type[Config]) -> Config:
    """Read one configuration.

    Raises:
        ValueError: unreadable, an unknown key, or a value of the wrong type; one line that names it.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind, dec_hook=_decode)
    except OSError as error:
        raise ValueError(f"config: cannot read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"config: {path}: {error}") from None


def dump_config(config: msgspec.Struct) -> bytes:
    """The resolved configuration, defaults included, as it is written beside every run."""
    return msgspec.json.format(msgspec.json.encode(config, enc_hook=str), indent=2) + b"\n"


def _decode(kind: type, value: Any) -> Any:
    if kind is not Path:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError(f"Expected a path, got {value!r}")
    return Path(value)
