"""The files of a checkpoint in Hugging Face layout. No torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG_FILE, TOKENIZER_FILE, PROFILE_FILE = "config.json", "tokenizer.json", "decoding_profile.json"
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"


def is_hugging_face(directory: Path) -> bool:
    """Whether the `config.json` there is one of `transformers`; ours names no architecture."""
    try:
        values = json.loads((directory / CONFIG_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and bool({"architectures", "model_type"} & values.keys())


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        ValueError: there is none, in one line that names the file.
    """
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise ValueError(f"checkpoint: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"checkpoint: {path} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"checkpoint: {path} does not hold a JSON object")
    return values


def weight_files(directory: Path) -> dict[str, list[str]]:
    """The safetensors files, and which tensors each is said to hold; of a single file nothing is said.

    Raises:
        ValueError: there are no weights, the index is none, or it names a file outside of the directory.
    """
    if (directory / WEIGHTS_FILE).is_file():
        return {WEIGHTS_FILE: []}
    if not (directory / INDEX_FILE).is_file():
        raise ValueError(f"checkpoint: {directory} holds neither {WEIGHTS_FILE} nor {INDEX_FILE}")
    places = read_object(directory / INDEX_FILE).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"checkpoint: {directory / INDEX_FILE} does not say where which tensor is")
    files: dict[str, list[str]] = {}
    for tensor, name in places.items():
        if name in ("", "..") or Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"checkpoint: {directory / INDEX_FILE} names {name!r}, which is no shard beside it")
        files.setdefault(name, []).append(tensor)
    return dict(sorted(files.items()))
