"""Checkpoints of others against the library that wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffill.model.checkpoint import checkpoint_hash, load_checkpoint
from diffill.model.config import ModelConfig
from diffill.model.decoder_loading import load_decoder
from diffill.model.hugging_face.layout import find_checkpoint
from diffill.model.hugging_face.vocabulary import read_vocabulary
from diffill.model.loading import load_network
from diffill.model.request import DecodeRequest, pack_ids, unpack_ids
from diffill.model.tokenizer import (
    END_OF_MIDDLE,
    END_OF_TEXT,
    INSTRUCTION,
    MIDDLE,
    NUM_CONTROL_IDS,
    PREFIX,
    SUFFIX,
    Tokenizer,
)
from diffill.model.torch_network import TorchNetwork
from diffill.model.transformer import causal_attention
from tests.adapters import write_adapter
from tests.hugging_face import (
    BYTES,
    CONTROL,
    END,
    FIM_MIDDLE,
    FIM_PAD,
    FIM_PREFIX,
    FIM_SUFFIX,
    MODELS,
    backend,
    change,
    model_of,
    save,
)

FP32 = {"int8": False}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"tie_word_embeddings": False, "rms_norm_eps": 1e-5}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama 3.1": ("llama", {"rope_theta": 500_000.0, "rope_scaling": LLAMA3}),
    "llama linear": ("llama", {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}),
    "llama with wide heads": ("llama", {"head_dim": 32}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True, "rope_theta": 1_000_000.0}),
    "qwen2 untied": ("qwen2", {"tie_word_embeddings": False}),
    "qwen3": ("qwen3", {"tie_word_embeddings": True, "head_dim": 32}),
    "qwen3 untied": ("qwen3", {"tie_word_embeddings": False}),
}


def text_ids(count: int, seed: int = 0) -> list[int]:
    """Theirs."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, BYTES, (count,), generator=generator).tolist()


def ours(ids: list[int]) -> list[int]:
    return [NUM_CONTROL_IDS + token for token in ids]


@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_is_that_of_transformers(tmp_path: Path, variant: str) -> None:
    family, changes = VARIANTS[variant]
    theirs = model_of(family, **changes)
    save(tmp_path, theirs, profile=FP32)
    network = load_network(tmp_path, device=torch.device("cpu"))
    assert isinstance(network, TorchNetwork)
    tokens = text_ids(150)
    with torch.no_grad():
        wanted = theirs(torch.tensor([tokens])).logits[0, :, :BYTES]
        positions = torch.arange(len(tokens))[None]
        states = network.model(torch.tensor([ours(tokens)]), positions, causal_attention)
        found = network.model.logits(states)[0, :, NUM_CONTROL_IDS : NUM_CONTROL_IDS + BYTES]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    cached = network.model.logits(network.step(network.new_cache(), ours(tokens)))
    torch.testing.assert_close(cached[:, NUM_CONTROL_IDS : NUM_CONTROL_IDS + BYTES], wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", MODELS)
def test_greedy_decoding_is_that_of_transformers(tmp_path: Path, family: str) -> None:
    theirs = model_of(family, 3)
    save(tmp_path, theirs, profile=FP32)
    decoder = load_decoder(checkpoint=tmp_path, device="cpu")
    for seed in range(3):
        tokens = text_ids(40, seed)
        wanted = theirs.generate(
            torch.tensor([tokens]), max_new_tokens=24, do_sample=False, pad_token_id=END,
            suppress_tokens=list(range(BYTES + 1, theirs.config.vocab_size)),
        )[0, 40:].tolist()  # fmt: skip
        request = DecodeRequest(prompt=pack_ids(ours(tokens)), mode="ar", max_tokens=24)
        result = decoder.decode(request)
        ended = [END] if result.finish == "eom" else []
        assert [token - NUM_CONTROL_IDS for token in unpack_ids(result.tokens)] + ended == wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shard", ["1MB", "20KB"])
def test_shards_and_number_formats(tmp_path: Path, dtype: torch.dtype, shard: str) -> None:
    theirs = model_of("qwen2").to(dtype)
    save(tmp_path, theirs, max_shard_size=shard)
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (shard == "20KB")
    _, tensors = load_checkpoint(tmp_path)
    weights = theirs.state_dict()
    query = weights["model.layers.1.self_attn.q_proj.weight"]
    assert torch.equal(tensors["layers.1.qkv.weight"][: len(query)], query)
    rows = weights["model.embed_tokens.weight"]
    assert torch.equal(tensors["embedding.weight"][NUM_CONTROL_IDS:], rows[: BYTES + len(CONTROL)])
    assert torch.equal(tensors["embedding.weight"][END_OF_MIDDLE], rows[END])


@pytest.mark.parametrize("family", MODELS)
def test_on_a_cpu_verify_would_equal_ar_bit_for_bit(tmp_path: Path, family: str) -> None:
    """Int8 rows: a token's result is the same alone and in company, with biases and norms of heads too."""
    save(tmp_path, model_of(family))
    network = load_network(tmp_path, device=torch.device("cpu"))
    tokens = ours(text_ids(30))
    together = network.step(network.new_cache(), tokens)
    cache = network.new_cache()
    for index, token in enumerate(tokens):
        assert torch.equal(network.step(cache, [token])[0], together[index])
        cache.keep([token])


def test_a_causal_model_answers_as_in_ar_whatever_is_asked(tmp_path: Path) -> None:
    decoder = load_decoder(checkpoint=save(tmp_path, model_of("qwen2")), device="cpu")
    assert decoder.info.modes == ("verify", "ar")
    prompt = pack_ids([SUFFIX, *ours(text_ids(9)), PREFIX, *ours(text_ids(20, 1)), MIDDLE])
    plain, *others = [
        decoder.decode(DecodeRequest(prompt=prompt, mode=mode, max_tokens=12)) for mode in ("ar", "verify", "diffusion")
    ]
    assert all((result.tokens, result.finish) == (plain.tokens, plain.finish) for result in others)


def test_the_prompt_has_the_markers_and_the_order_of_the_model(tmp_path: Path) -> None:
    vocabulary = read_vocabulary(save(tmp_path, model_of("qwen2")))
    prefix, suffix, opening = ours([1, 2]), ours([3]), ours([4])
    prompt = [SUFFIX, *suffix, PREFIX, *prefix, MIDDLE, *opening]
    assert vocabulary.arranged(prompt) == ours([FIM_PREFIX, 1, 2, FIM_SUFFIX, 3, FIM_MIDDLE, 4])
    assert vocabulary.arranged([END_OF_TEXT, *prefix]) == prefix
    with pytest.raises(ValueError, match=r"^prompt: "):
        vocabulary.arranged([SUFFIX, PREFIX, INSTRUCTION, *prefix])


def test_without_markers_what_stands_before_the_cursor_is_continued(tmp_path: Path) -> None:
    none = {"prefix": None, "suffix": None, "middle": None}
    vocabulary = read_vocabulary(save(tmp_path, model_of("llama"), profile=none))
    assert vocabulary.arranged([SUFFIX, *ours([3]), PREFIX, *ours([1, 2]), MIDDLE, *ours([4])]) == ours([1, 2, 4])
    assert vocabulary.arranged([SUFFIX, PREFIX, MIDDLE]) == ours([END]), "there is always something to go on from"


def test_text_never_becomes_a_control_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(save(tmp_path, model_of("qwen2")))
    for name in CONTROL:
        ids = tokenizer.encode(f"x = {name!r}")
        assert max(ids) < NUM_CONTROL_IDS + BYTES
        assert tokenizer.decode(ids) == f"x = {name!r}"
    assert tokenizer.vocabulary_size == ModelConfig.load(tmp_path).vocabulary_size == len(tokenizer.ends_line)
    assert [int(index) for index in tokenizer.ends_line.nonzero()[0]] == tokenizer.encode("\n")


def test_text_is_never_cut_nor_padded(tmp_path: Path) -> None:
    """As the tokenizers of some repositories do, after the training run that they were saved from."""
    save(tmp_path, model_of("qwen2"))
    limited = backend()
    limited.enable_truncation(8)
    limited.enable_padding(length=8)
    limited.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert [len(tokenizer.encode("x" * count)) for count in (0, 3, 20)] == [0, 3, 20]


def test_control_tokens_are_never_answers(tmp_path: Path) -> None:
    network = load_network(save(tmp_path, model_of("qwen2")), device=torch.device("cpu"))
    states = network.step(network.new_cache(), ours(text_ids(30)))
    said = network.predict(states, choices=40)
    answers = {token for row, token in enumerate(said.tokens) for token in (token, *(t for t, _ in said.choices(row)))}
    assert answers <= {END_OF_MIDDLE, *ours(list(range(BYTES)))}


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "architectures: MistralForCausalLM"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_scaling: 'yarn'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 4.0}}, "has no low_freq_factor"),
        ({"use_sliding_window": True}, "use_sliding_window: True"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config: "),
        ({"hidden_act": "gelu"}, "hidden_act: 'gelu'"),
        ({"hidden_size": "wide"}, "hidden_size: "),
        ({"num_hidden_layers": None}, "has no num_hidden_layers"),
        ({"num_key_value_heads": 3}, "num_heads: 4 is not a multiple"),
        ({"hidden_size": 128}, "is (279, 64), config.json says"),
        ({"num_hidden_layers": 3}, "no file holds model.layers.2."),
    ],
)
def test_what_would_be_computed_wrongly_is_refused(tmp_path: Path, values: dict[str, Any], named: str) -> None:
    change(save(tmp_path, model_of("qwen2")), **values)
    with pytest.raises(ValueError, match=r"^checkpoint: [^\n]+$") as caught:
        load_decoder(checkpoint=tmp_path, device="cpu")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("profile", "named"),
    [
        ({"maks": "x"}, "maks"),
        ({"mask": "<|mask|>"}, "no '<|mask|>', which is mask"),
        ({"middle": None}, "belong together"),
        ({"block_size": "8"}, "block_size"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_a_wrong_profile_is_named(tmp_path: Path, profile: dict[str, Any], named: str) -> None:
    save(tmp_path, model_of("qwen2"), profile=profile)
    with pytest.raises(ValueError, match=r"^checkpoint: [^\n]+$") as caught:
        Tokenizer.load(tmp_path)
    assert named in str(caught.value)


def test_without_a_profile_the_end_is_that_of_the_configuration(tmp_path: Path) -> None:
    save(tmp_path, model_of("qwen2", eos_token_id=[FIM_PAD, END]), profile={"end": None})
    assert read_vocabulary(tmp_path).rows[END_OF_MIDDLE] == FIM_PAD
    read_vocabulary.cache_clear()
    change(tmp_path, eos_token_id=9999)
    with pytest.raises(ValueError, match="eos_token_id 9999 is no token of the tokenizer"):
        read_vocabulary(tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, model_of("llama")) / "model.safetensors"
    before = checkpoint_hash(tmp_path)
    weights = load_file(path)
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, path, metadata={"format": "pt"})
    assert checkpoint_hash(tmp_path) != before
    with pytest.raises(ValueError, match=r"model\.safetensors holds a value in model\.norm\.weight that is not finite"):
        load_checkpoint(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
        load_checkpoint(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match=r"holds neither model\.safetensors nor"):
        load_checkpoint(tmp_path)


def test_a_shard_outside_of_the_directory(tmp_path: Path) -> None:
    save(tmp_path, model_of("llama"), max_shard_size="20KB")
    index = tmp_path / "model.safetensors.index.json"
    listed = json.loads(index.read_text("utf-8"))
    listed["weight_map"]["model.norm.weight"] = "../model.safetensors"
    index.write_text(json.dumps(listed), "utf-8")
    with pytest.raises(ValueError, match=r"names '\.\./model\.safetensors'"):
        load_checkpoint(tmp_path)


def test_a_downloaded_model_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--Some--model-0.5B"
    snapshot = save(repository / "snapshots" / "abc123", model_of("llama"))
    with pytest.raises(ValueError, match=r"^model: Some/model-0\.5B is no directory, and no model of that name"):
        find_checkpoint("Some/model-0.5B")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc123")
    assert find_checkpoint("Some/model-0.5B") == snapshot
    assert ModelConfig.load(snapshot).name == "Some/model-0.5B"
    assert find_checkpoint(str(snapshot)) == snapshot
    for name in ("Some/other", "../models--Some--model-0.5B/x", ""):
        with pytest.raises(ValueError, match=r"^model: "):
            find_checkpoint(name)


def test_another_kind_of_tokenizer(tmp_path: Path) -> None:
    save(tmp_path, model_of("llama"))
    values = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    values["decoder"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps(values), "utf-8")
    with pytest.raises(ValueError, match="is not a byte-level BPE"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("profile", [{}, FP32], ids=["int8", "fp32"])
def test_an_adapter_fits_a_model_with_biases_merged_or_beside_it(tmp_path: Path, profile: dict[str, Any]) -> None:
    base = save(tmp_path / "base", model_of("qwen2"), profile=profile)
    adapter = write_adapter(tmp_path / "adapter", base)
    plain, asked = (
        DecodeRequest(prompt=pack_ids(ours(text_ids(40))), mode="ar", max_tokens=16, adapter=name)
        for name in ("", str(adapter))
    )
    merged = load_decoder(checkpoint=base, device="cpu", adapter=adapter).decode(plain).tokens
    decoder = load_decoder(checkpoint=base, device="cpu")
    before = decoder.decode(plain).tokens
    assert decoder.decode(asked).tokens == merged != before
    assert decoder.decode(plain).tokens == before


def test_a_prompt_beyond_the_models_own_context_is_refused(tmp_path: Path) -> None:
    decoder = load_decoder(checkpoint=save(tmp_path, model_of("llama")), device="cpu")
    request = DecodeRequest(prompt=pack_ids(ours(text_ids(500))), max_tokens=12)
    assert decoder.decode(request).finish in ("eom", "length")
    with pytest.raises(ValueError, match=r"^prompt: with 13 new tokens it ends at 513, the model at 512$"):
        decoder.decode(DecodeRequest(prompt=request.prompt, max_tokens=13))
