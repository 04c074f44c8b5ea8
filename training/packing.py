"""Examples to rows of one fixed length, stored as arrays that the trainer maps into memory.

A row holds whole documents one after another; what is left at its end is padding. Fixed shapes let torch.compile run
once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffill.model.tokenizer import END_OF_TEXT

from .examples import Example

HASHES_FILE = "sha256.json"
ARRAYS = ("tokens", "document", "middle")
PADDING = -1
OPEN_ROWS = 16


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Packed examples.  # all [R, C]"""

    tokens: np.ndarray
    """uint16 token ids."""
    document: np.ndarray
    """int16 index of the document inside its row; `PADDING` behind the last."""
    middle: np.ndarray
    """bool, on the middle and its END_OF_MIDDLE."""

    def __len__(self) -> int:
        return int(self.tokens.shape[0])


def pack(examples: Iterable[Example], length: int) -> Rows:
    """Put each example into the fullest open row that still holds it; examples longer than a row are dropped."""
    open_rows: list[list[Example]] = []
    closed: list[list[Example]] = []
    for example in examples:
        size = len(example.tokens)
        if size > length:
            continue
        fitting = [row for row in open_rows if _size(row) + size <= length]
        if fitting:
            max(fitting, key=_size).append(example)
        else:
            open_rows.append([example])
        if len(open_rows) > OPEN_ROWS:
            fullest = max(open_rows, key=_size)
            open_rows.remove(fullest)
            closed.append(fullest)
    return _arrays(closed + open_rows, length)


def save_rows(path: Path, rows: Rows) -> None:
    """A directory of three `.npy` files and a list of their sha256, written beside and renamed."""
    beside = path.with_name(f".{path.name}.part")
    beside.mkdir(parents=True, exist_ok=True)
    for name in ARRAYS:
        np.save(beside / f"{name}.npy", getattr(rows, name), allow_pickle=False)
    (beside / HASHES_FILE).write_text(json.dumps(_hashes(beside), indent=2) + "\n", "utf-8")
    beside.replace(path)


def load_rows(path: Path) -> Rows:
    """Map packed rows into memory.

    Raises:
        ValueError: the directory is missing, incomplete, altered or inconsistent.
    """
    try:
        listed = json.loads((path / HASHES_FILE).read_text("utf-8"))
        if listed != _hashes(path):
            raise ValueError("its sha256 is not the listed one")
        arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    except (OSError, ValueError) as error:
        raise ValueError(f"rows: cannot use {path}: {error}") from None
    if len({array.shape for array in arrays.values()}) != 1:
        raise ValueError(f"rows: the arrays in {path} differ in shape")
    return Rows(**arrays)


def take(rows: Rows, index: np.ndarray | slice) -> Rows:
    return Rows(tokens=rows.tokens[index], document=rows.document[index], middle=rows.middle[index])


def joined(parts: list[Rows]) -> Rows:
    return Rows(
        tokens=np.concatenate([rows.tokens for rows in parts]),
        document=np.concatenate([rows.document for rows in parts]),
        middle=np.concatenate([rows.middle for rows in parts]),
    )


def _hashes(path: Path) -> dict[str, str]:
    return {name: hashlib.sha256((path / f"{name}.npy").read_bytes()).hexdigest() for name in ARRAYS}


def _size(row: list[Example]) -> int:
    return sum(len(example.tokens) for example in row)


def _arrays(rows: list[list[Example]], length: int) -> Rows:
    tokens = np.full((len(rows), length), END_OF_TEXT, dtype=np.uint16)
    document = np.full((len(rows), length), PADDING, dtype=np.int16)
    middle = np.zeros((len(rows), length), dtype=bool)
    for index, row in enumerate(rows):
        at = 0
        for number, example in enumerate(row):
            end = at + len(example.tokens)
            tokens[index, at:end] = example.tokens
            document[index, at:end] = number
            middle[index, at:end] = example.middle
            at = end
    return Rows(tokens=tokens, document=document, middle=middle)
