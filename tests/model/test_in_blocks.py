"""Block-diffusion checkpoints of others, against a plain loop over the network of `transformers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diffill.model.decoder_loading import load_decoder
from diffill.model.engine import BlockDecoder
from diffill.model.loading import load_network
from diffill.model.request import DecodeRequest, DecodeResult, pack_ids, unpack_ids
from diffill.model.tokenizer import NUM_CONTROL_IDS
from tests.hugging_face import BYTES, END, HOLE, change, model_of, save

KINDS = {
    "sdar": ("qwen3", {"mask": "<|MASK|>", "context": "block", "block_size": 4}),
    "shifted": ("qwen2", {"mask": "<|MASK|>", "context": "block", "block_size": 8, "shift": True}),
}
PLAIN = {"prefix": None, "suffix": None, "middle": None, "end": "<|endoftext|>", "int8": False}
SURE = 0.12  # random weights are never surer


def text_ids(count: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, BYTES, (count,), generator=generator).tolist()


def decoder_of(path: Path, kind: str) -> tuple[BlockDecoder, Any, dict[str, Any]]:
    family, profile = KINDS[kind]
    theirs = model_of(family, 5)
    save(path, theirs, profile={**PLAIN, **profile, "threshold": SURE})
    return load_decoder(checkpoint=path, device="cpu"), theirs, profile


def logits(theirs: Any, ids: list[int], block: int) -> Tensor:
    """Every token sees to the end of its block.  # [T, V]"""
    place = torch.arange(len(ids)) // block
    mask = place[:, None] >= place[None]
    bias = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)[None, None]
    with torch.no_grad():
        found: Tensor = theirs(torch.tensor([ids]), attention_mask=bias).logits[0]
    found[:, END + 1 :] = -torch.inf
    return found


def plain_loop(theirs: Any, prompt: list[int], count: int, profile: dict[str, Any]) -> list[int]:
    """As the papers describe it: the surest places of a block, and always the first, until none is left."""
    size, shift = profile["block_size"], int(profile.get("shift", False))
    ids = list(prompt)
    while len(ids) - len(prompt) < count and END not in ids[len(prompt) :]:
        ids += [HOLE] * (size - len(ids) % size)
        while HOLE in ids[: ids.index(END) if END in ids else len(ids)]:
            found = logits(theirs, ids, size)
            holes = [place for place, token in enumerate(ids) if token == HOLE]
            sure, best = found.softmax(dim=-1).max(dim=-1)
            for place in holes:
                if place == holes[0] or sure[place - shift] >= SURE:
                    ids[place] = int(best[place - shift])
                if END in (ids[place], int(best[place - shift])):
                    break
    answer = ids[len(prompt) :]
    return answer[: min(count, answer.index(END) if END in answer else count)]


def said(result: DecodeResult) -> list[int]:
    return [token - NUM_CONTROL_IDS for token in unpack_ids(result.tokens)]


def request_of(ids: list[int], count: int = 21, **fields: Any) -> DecodeRequest:
    return DecodeRequest(prompt=pack_ids([NUM_CONTROL_IDS + token for token in ids]), max_tokens=count, **fields)


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_plain_loop_whatever_is_cached(tmp_path: Path, kind: str) -> None:
    decoder, theirs, profile = decoder_of(tmp_path, kind)
    assert decoder.info.modes == ("diffusion",)
    passes = 0
    for length in (30, 32, 33, 67, 45):  # one text that grows, and is cut again
        prompt = text_ids(80)[:length]
        result = decoder.decode(request_of(prompt, mode="verify"))
        assert said(result) == plain_loop(theirs, prompt, 21, profile), length
        passes += result.forward_passes
    assert result.cached_tokens >= 32
    assert passes < 5 * 18, "several places were filled in some passes"
    several = decoder.decode(request_of(prompt, candidates=3))
    assert several.tokens == result.tokens and len({answer.tokens for answer in several.answers()}) == 3


def test_finished_text_sees_the_rest_of_its_block(tmp_path: Path) -> None:
    _, theirs, profile = decoder_of(tmp_path, "sdar")
    network = load_network(tmp_path, device=torch.device("cpu"))
    ids = text_ids(40)
    cache = network.new_cache()
    ours = [NUM_CONTROL_IDS + token for token in ids]
    first = network.step(cache, ours[:16])
    cache.keep(ours[:16])
    states = torch.cat([first, network.step(cache, ours[16:])])
    found = network.model.logits(states)[:, NUM_CONTROL_IDS : NUM_CONTROL_IDS + BYTES]  # type: ignore[attr-defined]
    wanted = logits(theirs, ids, profile["block_size"])[:, :BYTES]
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_the_published_ones_are_known_by_their_architecture(tmp_path: Path) -> None:
    change(save(tmp_path, model_of("qwen3")), architectures=["SDARForCausalLM"], model_type="sdar")
    config = load_decoder(checkpoint=tmp_path, device="cpu").network.config
    assert (config.context_block, config.shift, config.denoises, config.qk_norm) == (4, False, True, True)


@pytest.mark.parametrize(
    ("profile", "named"),
    [
        ({"context": "block"}, "needs a mask"),
        ({"context": "block", "mask": "<|MASK|>", "block_size": 6}, "block_size"),
        ({"mask": "<|MASK|>", "shift": True}, "shift"),
    ],
)
def test_what_cannot_be_decoded_is_refused(tmp_path: Path, profile: dict[str, Any], named: str) -> None:
    save(tmp_path, model_of("qwen3"), profile=profile)
    with pytest.raises(ValueError, match=named):
        load_decoder(checkpoint=tmp_path, device="cpu")


def test_a_causal_context_with_a_mask_has_every_mode(tmp_path: Path) -> None:
    save(tmp_path, model_of("qwen3"), profile={"mask": "<|MASK|>", "block_size": 4})
    decoder = load_decoder(checkpoint=tmp_path, device="cpu")
    plain, checked = (decoder.decode(request_of(text_ids(40), mode=mode)) for mode in ("ar", "verify"))
    assert (checked.tokens, checked.finish) == (plain.tokens, plain.finish)
    assert decoder.decode(request_of(text_ids(40), mode="diffusion")).finish in ("eom", "length")
