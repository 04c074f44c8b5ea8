"""Adapters: merged they are base plus change, and what is broken or belongs elsewhere is refused by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from diffill.model.adapter import base_of, load_adapter, merge
from diffill.model.adapter_manifest import MANIFEST_FILE, Base
from diffill.model.checkpoint import SCALE_SUFFIX, dequantize, load_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.decoder_loading import load_decoder
from diffill.model.request import DecodeRequest, pack_ids
from diffill.model.tokenizer import MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX
from tests.adapters import tiny_factors, write_adapter
from tests.tiny import tiny_checkpoint


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "base")


def test_merged_in_floating_point_it_is_base_plus_change(tmp_path: Path) -> None:
    base = tiny_checkpoint(tmp_path / "base", dtype=torch.float32)
    adapter = load_adapter(write_adapter(tmp_path / "adapter", base), base=base)
    _, before = load_checkpoint(base)
    after = dict(before)
    merge(after, adapter)
    for name, weight in before.items():
        module = name.removesuffix(".weight")
        if module + ".lora_a" in adapter.factors:
            wanted = weight + 2.0 * adapter.factors[module + ".lora_b"] @ adapter.factors[module + ".lora_a"]
            torch.testing.assert_close(after[name], wanted)
            assert not torch.equal(after[name], weight)
        else:
            assert torch.equal(after[name], weight)


def test_a_change_below_half_a_step_of_int8_is_not_lost(base: Path, tmp_path: Path) -> None:
    """All input along one direction: what is small in each weight adds up."""
    config = ModelConfig.load(base)
    factors = tiny_factors(config, size=0.002)
    for name, tensor in factors.items():
        if name.endswith(".lora_a"):
            tensor.fill_(tensor.shape[1] ** -0.5)
    adapter = load_adapter(write_adapter(tmp_path / "adapter", base, factors), base=base)
    _, stored = load_checkpoint(base)
    before, merged = dequantize(stored), dict(stored)
    merge(merged, adapter)
    after = dequantize(merged)
    name = "layers.0.down.weight"
    change = adapter.change("layers.0.down")
    assert change is not None
    assert float((change.abs() / stored[name + SCALE_SUFFIX][:, None]).max()) < 0.5, "rounded to nearest: nothing"
    x = torch.ones(change.shape[1])
    moved, wanted = (after[name] - before[name]) @ x, change @ x
    assert float(torch.nn.functional.cosine_similarity(moved, wanted, dim=0)) > 0.6
    again = dict(reversed(stored.items()))  # a file lists its tensors in any order
    merge(again, adapter)
    assert all(torch.equal(again[key], merged[key]) for key in again), "the same adapter makes the same weights"


def test_no_change_is_no_change(base: Path, tmp_path: Path) -> None:
    factors = tiny_factors(ModelConfig.load(base), size=0.0)
    _, stored = load_checkpoint(base)
    merged = dict(stored)
    merge(merged, load_adapter(write_adapter(tmp_path / "adapter", base, factors), base=base))
    assert all(torch.equal(merged[name], stored[name]) for name in stored)


def test_the_engine_decodes_with_it_and_verify_equals_ar(base: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "adapter", base)
    plain, tuned = load_decoder(checkpoint=base), load_decoder(checkpoint=base, adapter=path)
    assert plain.info.adapter is None
    assert tuned.info.adapter == f"team {load_adapter(path, base=base).manifest.factors.sha256[:12]}"
    assert tuned.info.hash == plain.info.hash
    different = 0
    for seed in range(6):
        ids = torch.randint(NUM_CONTROL_IDS, 200, (24,), generator=torch.Generator().manual_seed(seed)).tolist()
        prompt = pack_ids([SUFFIX, *ids[:8], PREFIX, *ids[8:], MIDDLE])
        ar, verify = (
            tuned.decode(DecodeRequest(prompt=prompt, mode=mode, max_tokens=24)).tokens for mode in ("ar", "verify")
        )  # fmt: skip
        assert ar == verify
        different += ar != plain.decode(DecodeRequest(prompt=prompt, mode="ar", max_tokens=24)).tokens
    assert different > 0


def altered(path: Path, change: str) -> None:
    """One thing wrong with an adapter."""
    manifest, weights = path / MANIFEST_FILE, path / "adapter.safetensors"
    if change == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif change == "weights missing":
        weights.unlink()
    elif change == "no JSON":
        manifest.write_text("{")
    elif change == "missing":
        manifest.unlink()
    else:
        values = msgspec.json.decode(manifest.read_bytes())
        where, _, value = change.partition("=")
        if where == "file":
            values["factors"]["file"] = value
        else:
            values[where] = msgspec.json.decode(value)
        manifest.write_bytes(msgspec.json.encode(values))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("truncated", r"adapter\.safetensors is truncated or altered"),
        ("weights missing", "cannot read .*adapter.safetensors: No such file"),
        ("no JSON", r"manifest\.json: "),
        ("missing", r"cannot read .*manifest\.json: No such file"),
        ("format=2", "has format 2; this version of Diffill reads 1"),
        ("colour=1", "colour"),
        ("file=../other", "names a file outside its directory: '../other'"),
    ],
)
def test_a_broken_adapter_is_named(base: Path, tmp_path: Path, change: str, message: str) -> None:
    path = write_adapter(tmp_path / "adapter", base)
    altered(path, change)
    with pytest.raises(ValueError, match=message) as caught:
        load_adapter(path, base=base)
    assert "\n" not in str(caught.value)


def test_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    path = write_adapter(tmp_path / "adapter", base)
    other = tiny_checkpoint(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match=r"was made for tiny \w{12}; .*other is tiny \w{12}"):
        load_decoder(checkpoint=other, adapter=path)


def test_another_tokenizer_is_refused(base: Path, tmp_path: Path) -> None:
    found = base_of(base)
    wrong = Base(name=found.name, hash=found.hash, tokenizer_sha256="0" * 64)
    with pytest.raises(ValueError, match="was made with another tokenizer"):
        load_adapter(write_adapter(tmp_path / "adapter", base, made_for=wrong), base=base)


@pytest.mark.parametrize("fault", ["shape", "missing", "unknown", "not finite"])
def test_factors_that_do_not_fit(base: Path, tmp_path: Path, fault: str) -> None:
    factors = tiny_factors(ModelConfig.load(base))
    name = "layers.1.qkv.lora_b"
    if fault == "shape":
        factors[name] = factors[name][:-1]
    elif fault == "missing":
        del factors[name]
    elif fault == "unknown":
        name = "layers.1.head.lora_b"
        factors[name] = torch.zeros(1, 4)
    else:
        factors[name][0, 0] = torch.nan
    with pytest.raises(ValueError, match=name):
        load_adapter(write_adapter(tmp_path / "adapter", base, factors), base=base)
