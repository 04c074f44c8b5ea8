"""What is exported is read back by the converter, which is checked against llama.cpp's own files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from diffill.model.checkpoint import dequantize, load_checkpoint
from diffill.model.tokenizer import NUM_CONTROL_IDS, Tokenizer
from diffill.training.convert import convert_gguf
from diffill.training.gguf_export import export_gguf
from tests.tiny import tiny_checkpoint, tiny_config

Q8_STEP = 1 / 127
"""A weight is rounded to this part of the largest of its 32."""


def test_export_and_conversion_are_inverse(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the extra: pip install 'diffill[train]'")
    source = tiny_checkpoint(tmp_path / "source", config=tiny_config(head_size=16))  # GGUF readers divide it out
    export_gguf(source, tmp_path / "model.gguf")
    convert_gguf(tmp_path / "model.gguf", tmp_path / "back", name="tiny")
    (config, stored), (same, back) = load_checkpoint(source), load_checkpoint(tmp_path / "back")
    assert same == config
    for name, weight in dequantize(stored).items():
        first = NUM_CONTROL_IDS if name == "embedding.weight" else 0  # the converter makes control rows anew
        assert torch.allclose(back[name][first:], weight[first:], atol=float(weight.abs().max()) * Q8_STEP)
    text = "x = {'a': 1}\n"
    assert Tokenizer.load(tmp_path / "back").encode(text) == Tokenizer.load(source).encode(text)
