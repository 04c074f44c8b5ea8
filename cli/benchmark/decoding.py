"""The suites `latency` and `throughput`: one decoder in this process, and other programs beside it."""

from __future__ import annotations

import contextlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diffill.model.checkpoint import load_checkpoint
from diffill.model.client import EngineSettings
from diffill.model.decoder_loading import load_decoder, model_info
from diffill.model.device import choose_device
from diffill.model.engine import BlockDecoder
from diffill.model.loading import build_network
from diffill.model.network import Network
from diffill.model.request import ModelInfo
from diffill.model.threads import FreeCores
from diffill.model.tokenizer import Tokenizer

from .bar import bar
from .latency import measure_latency
from .place import Place, read_places
from .random_weights import random_tensors, shape_of
from .report import Row, Suite
from .throughput import measure_throughput

if TYPE_CHECKING:
    from .llama_cpp import LlamaCpp
    from .transformers_llama import TransformersLlama


@dataclass(frozen=True, kw_only=True)
class Contest:
    """Who decodes where."""

    suite: Suite
    places: list[Place]
    sizes: list[int]
    """Streams at once."""
    max_tokens: int
    shape: str | None
    """Of weights that mean nothing, in place of the checkpoint's."""
    llama_cpp: bool
    transformers: bool

    def __post_init__(self) -> None:
        if len(self.places) < self.sizes[-1]:
            raise ValueError(f"code: there are only {len(self.places)} places, a batch of {self.sizes[-1]} needs more")


def find_places(settings: EngineSettings, source: Path, file: Path | None, count: int, seed: int) -> list[Place]:
    """From a file, or from code where there is none.

    Raises:
        ValueError: the file or the code is missing, or of another kind; one line.
    """
    if file is not None:
        return read_places(file)[:count]
    from .places import place_at, places  # the server's prompts: a rented machine has no server

    tokenizer = Tokenizer.load(settings.checkpoint)
    return [place_at(hole, tokenizer) for hole in places(source, count=count, seed=seed, tokenizer=tokenizer)]


def measure_decoding(settings: EngineSettings, contest: Contest) -> tuple[ModelInfo, list[Row]]:
    """Everybody at every place.

    Raises:
        ValueError: the checkpoint is broken, or another program is not installed; one line.
    """
    free = FreeCores()
    with contextlib.ExitStack() as stack:
        llama: LlamaCpp | None = None
        if contest.llama_cpp:
            from .llama_cpp import llama_cpp

            llama = stack.enter_context(llama_cpp(settings.checkpoint, threads=free.count()))
        decoder = _decoder(settings, contest.shape)
        modes = decoder.info.modes
        if contest.suite == "latency":
            return decoder.info, measure_latency(bar(contest.places), modes, decoder=decoder, llama=llama)
        others = {"llama.cpp": llama.answer} if llama else {}
        if contest.transformers:
            others |= _transformers(settings, contest.shape, decoder.network).contenders
        size = contest.sizes[-1]
        groups = [contest.places[at : at + size] for at in range(0, len(contest.places) - size + 1, size)]
        rows = measure_throughput(bar(groups), modes, contest.sizes, contest.max_tokens, decoder=decoder, others=others)
    return decoder.info, rows


def _decoder(settings: EngineSettings, shape: str | None) -> BlockDecoder:
    """Of the checkpoint, or of weights that mean nothing."""
    if shape is None:
        return load_decoder(checkpoint=settings.checkpoint, device=settings.device)
    config, device = shape_of(shape), torch.device(choose_device(settings.device)[0])
    network = build_network(config, random_tensors(config, device), device=device)
    return BlockDecoder(
        network, tokenizer=Tokenizer.load(settings.checkpoint), info=model_info(config, "random", device.type)
    )


def _transformers(settings: EngineSettings, shape: str | None, network: Network) -> TransformersLlama:
    if importlib.util.find_spec("transformers") is None:
        raise ValueError("transformers: it is not installed: pip install 'diffill[bench]'")
    from .transformers_llama import transformers_llama

    tensors = random_tensors(network.config, network.device) if shape else load_checkpoint(settings.checkpoint)[1]
    return transformers_llama(network.config, tensors, network.device)
