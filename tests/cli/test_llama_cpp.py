"""The baseline of `diffill bench`: llama.cpp has read our weights as we mean them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.request import DecodeRequest, pack_ids, unpack_ids
from diffill.model.tokenizer import Tokenizer

RECORDED = Path(__file__).parent.parent / "data" / "llama_cpp_continuations.json"


def test_llama_cpp_goes_on_as_we_do() -> None:
    """Both round differently, so single answers may differ at a near tie; most must not."""
    pytest.importorskip("xllamacpp", reason="needs the extra: pip install 'diffill[bench]'")
    pytest.importorskip("gguf", reason="needs the extra: pip install 'diffill[bench]'")
    from diffill.cli.benchmark.llama_cpp import llama_cpp
    from diffill.model.decoder_loading import load_decoder

    tokenizer = Tokenizer.load(DEFAULT_CHECKPOINT)
    decoder = load_decoder(checkpoint=DEFAULT_CHECKPOINT, device="cpu")
    equal = 0
    prompts = [continuation["prompt"] for continuation in json.loads(RECORDED.read_text("utf-8"))["continuations"]]
    with llama_cpp(DEFAULT_CHECKPOINT, threads=1) as llama:
        for prompt in prompts:
            request = DecodeRequest(prompt=pack_ids(tokenizer.encode(prompt)), mode="ar", max_tokens=3)
            ours = tokenizer.decode(unpack_ids(decoder.decode(request).tokens))
            equal += ours == llama.complete(request)["choices"][0]["text"]
    assert equal > len(prompts) / 2
