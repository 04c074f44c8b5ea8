"""Whether a model fits: what is said beforehand against what is really taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from diffill.model import decoder_loading
from diffill.model.checkpoint import dequantize, load_checkpoint
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.decoder_loading import load_decoder
from diffill.model.memory import CACHE_BYTES, TooLarge, footprint
from diffill.model.request import DecodeRequest, pack_ids
from diffill.model.tokenizer import NUM_CONTROL_IDS
from tests.hugging_face import change, model_of, save
from tests.tiny import tiny_checkpoint

SEVEN_BILLION = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "tie_word_embeddings": False,
    "max_position_embeddings": 32_768,
}
"""Of Qwen2.5, with a smaller tokenizer."""


@pytest.fixture(autouse=True)
def plenty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine of these tests may be short of memory itself."""
    monkeypatch.setattr(decoder_loading, "free_bytes", lambda device: 1 << 40)
    yield


def test_weights_are_what_they_take(tmp_path: Path) -> None:
    plain = tiny_checkpoint(tmp_path / "plain", dtype=torch.float32)
    _, tensors = load_checkpoint(plain)
    matrices = sum(tensor.numel() for tensor in tensors.values() if tensor.dim() == 2)
    assert footprint(plain, "cpu").weights == 4 * matrices
    assert footprint(plain, "cuda").weights == 2 * matrices
    int8 = tiny_checkpoint(tmp_path / "int8")
    table = tensors["embedding.weight"].numel()
    assert footprint(int8, "cpu").weights == matrices + table
    assert footprint(int8, "cuda").weights == 2 * matrices


def test_the_shipped_model_is_counted_whole() -> None:
    _, tensors = load_checkpoint(DEFAULT_CHECKPOINT)
    matrices = sum(tensor.numel() for tensor in dequantize(tensors).values() if tensor.dim() == 2)
    found = footprint(DEFAULT_CHECKPOINT, "cuda")
    assert found.weights == 2 * matrices
    assert found.cache == CACHE_BYTES


def test_a_model_in_hugging_face_layout_is_judged_by_its_configuration(tmp_path: Path) -> None:
    save(tmp_path, model_of("qwen2"))
    change(tmp_path, **SEVEN_BILLION)
    found = footprint(tmp_path, "cuda")
    assert 13.0e9 < found.weights < 14.2e9, "6.5 thousand million weights beside the embedding, in bf16"
    assert found.cache > CACHE_BYTES, "one request of the largest size needs more"
    assert footprint(tmp_path, "cpu").weights < 0.55 * found.weights, "int8 on a CPU"


def test_what_does_not_fit_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, model_of("qwen2"))
    change(tmp_path, **SEVEN_BILLION)
    monkeypatch.setattr(decoder_loading, "free_bytes", lambda device: 4_000_000_000)
    with pytest.raises(ValueError, match=r"^device: cpu: model: it needs \d+\.\d GB \(.*\) and 4\.0 GB are free$"):
        load_decoder(checkpoint=tmp_path, device="cpu")


def test_a_small_device_gets_a_small_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    needed = footprint(checkpoint, "cpu")
    usual = load_decoder(checkpoint=checkpoint, device="cpu").pool.capacity
    monkeypatch.setattr(decoder_loading, "free_bytes", lambda device: needed.least + 1000)
    decoder = load_decoder(checkpoint=checkpoint, device="cpu")
    assert decoder.pool.capacity < usual
    prompt = pack_ids([NUM_CONTROL_IDS + number % 200 for number in range(900)])
    assert decoder.decode(DecodeRequest(prompt=prompt, max_tokens=64)).finish in ("eom", "length")
    monkeypatch.setattr(decoder_loading, "free_bytes", lambda device: needed.least - 1)
    with pytest.raises(ValueError, match="are free"):
        load_decoder(checkpoint=checkpoint, device="cpu")


def test_a_gpu_that_is_too_small_gives_way_to_the_cpu_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "tiny")
    monkeypatch.setattr(decoder_loading, "choose_device", lambda wanted: ("cuda", ""))
    monkeypatch.setattr(decoder_loading, "free_bytes", lambda device: 1 << 20 if device == "cuda" else 1 << 40)
    assert load_decoder(checkpoint=checkpoint, device="auto").info.device == "cpu"
    with pytest.raises(ValueError, match=r"^device: cuda: model: it needs"):
        load_decoder(checkpoint=checkpoint, device="cuda")
    with pytest.raises(TooLarge):
        footprint(checkpoint, "cuda").cache_within(1 << 20)
