"""The files of a checkpoint in Hugging Face layout. No torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

CONFIG_FILE, TOKENIZER_FILE, PROFILE_FILE = "config.json", "tokenizer.json", "decoding_profile.json"
WEIGHTS_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
REPOSITORY_PREFIX, SNAPSHOTS = "models--", "snapshots"


def is_hugging_face(directory: Path) -> bool:
    """Whether the `config.json` there is one of `transformers`; ours names no architecture."""
    try:
        values = json.loads((directory / CONFIG_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and bool({"architectures", "model_type"} & values.keys())


def find_checkpoint(name: str) -> Path:
    """A directory, or the newest snapshot of `ORGANISATION/NAME` that somebody has downloaded; nothing is downloaded.

    Raises:
        ValueError: it is neither; one line.
    """
    directory = Path(name).expanduser()
    if name and directory.is_dir():
        return directory
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repository = cache / f"{REPOSITORY_PREFIX}{name.replace('/', '--')}"
    try:
        snapshot = repository / SNAPSHOTS / (repository / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        snapshot = None
    if name.count("/") != 1 or snapshot is None or not snapshot.is_dir():
        raise ValueError(f"model: {name} is no directory, and no model of that name is in {cache}")
    return snapshot


def name_of(directory: Path) -> str:
    """How a checkpoint is called: by its directory, or by its repository where that is a snapshot of one."""
    directory = directory.resolve()
    if directory.parent.name == SNAPSHOTS and directory.parents[1].name.startswith(REPOSITORY_PREFIX):
        return directory.parents[1].name.removeprefix(REPOSITORY_PREFIX).replace("--", "/", 1)
    return directory.name


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
