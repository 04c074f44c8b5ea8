"""Pieces: a directory comes back byte for byte, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.checkpoint import verify
from diffill.training.remote.pieces import LIST_FILE, join, split
from tests.tiny import tiny_checkpoint


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@settings(max_examples=40, deadline=None)
@given(files=st.dictionaries(st.sampled_from("abcd"), st.binary(max_size=300), min_size=1), size=st.integers(1, 90))
def test_any_directory_comes_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], size: int) -> None:
    path = tmp_path_factory.mktemp("pieces")
    (path / "from").mkdir()
    for name, data in files.items():
        (path / "from" / name).write_bytes(data)
    made = split(path / "from", path / "pieces", piece_bytes=size)
    assert all((path / "pieces" / name).stat().st_size <= size for name in made.pieces)
    join(path / "pieces", path / "to")
    assert contents(path / "to") == files


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_a_checkpoint_travels(tmp_path: Path, dtype: torch.dtype) -> None:
    start = tiny_checkpoint(tmp_path / "start", dtype=dtype)
    made = split(start, tmp_path / "pieces", piece_bytes=20_000)
    assert len(made.pieces) > 2
    join(tmp_path / "pieces", tmp_path / "back")
    verify(tmp_path / "back")
    assert contents(tmp_path / "back") == contents(start)


def test_planes_make_floats_smaller(tmp_path: Path) -> None:
    start = tiny_checkpoint(tmp_path / "start", dtype=torch.bfloat16)
    made = split(start, tmp_path / "pieces", piece_bytes=10**9)
    weights = [file for file in made.files if file.name.endswith(".safetensors")]
    assert {file.planes for file in weights} == {2}
    assert sum(file.stored for file in weights) < 0.85 * sum(file.size for file in weights)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    split(tiny_checkpoint(tmp_path / "start"), tmp_path / "pieces", piece_bytes=20_000)
    return tmp_path / "pieces"


def test_an_altered_piece_is_named_and_nothing_is_written(packed: Path, tmp_path: Path) -> None:
    last = sorted(packed.glob("piece-*"))[-1]
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{last.name} is truncated or altered"):
        join(packed, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_missing_piece_is_named(packed: Path, tmp_path: Path) -> None:
    (packed / "piece-01.bin").unlink()
    with pytest.raises(ValueError, match=r"cannot read .*piece-01\.bin"):
        join(packed, tmp_path / "back")


@pytest.mark.parametrize("name", ["../outside", "/outside", "..", "a/b"])
def test_files_stay_in_their_directory(packed: Path, tmp_path: Path, name: str) -> None:
    listed = json.loads((packed / LIST_FILE).read_text())
    listed["files"][0]["name"] = name
    (packed / LIST_FILE).write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="is not a plain file name"):
        join(packed, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_what_cannot_be_split_is_named(tmp_path: Path, packed: Path) -> None:
    with pytest.raises(ValueError, match=r"directory: .*nowhere holds no file"):
        split(tmp_path / "nowhere", tmp_path / "out", piece_bytes=10)
    with pytest.raises(ValueError, match=r"out: .*pieces is not empty"):
        split(tmp_path / "start", packed, piece_bytes=10)
