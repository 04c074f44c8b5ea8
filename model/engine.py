"""The decoder: a prompt in, a filled span out, with the keys and values of earlier prompts reused."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path

import torch

from .cache import KVCache
from .checkpoint import checkpoint_hash
from .config import ModelConfig
from .decoding import EDIT_MODES, MODES, Answer, Snapshot
from .device import choose_device
from .loading import load_network
from .network import PREFILL_TOKENS, Network
from .request import Alternative, Cancelled, DecodeRequest, DecodeResult, ModelInfo, Step, pack_ids, unpack_ids
from .threads import FreeCores
from .tokenizer import END_OF_MIDDLE, Tokenizer


def never() -> bool:
    return False


class BlockDecoder:
    """Implements `request.Decoder` over a `Network`. Not thread-safe: one thread decodes."""

    def __init__(self, network: Network, *, tokenizer: Tokenizer, info: ModelInfo) -> None:
        self.network, self.info = network, info
        self._ends_line = tokenizer.ends_line
        spaceless = ~tokenizer.begins_with_space
        spaceless[END_OF_MIDDLE] = False
        self._spaceless = torch.from_numpy(spaceless).to(network.device)
        self.pool = network.new_pool()
        self._cores = FreeCores() if network.device.type == "cpu" else None

    def decode(
        self,
        request: DecodeRequest,
        *,
        on_step: Callable[[Step], None] | None = None,
        is_cancelled: Callable[[], bool] = never,
    ) -> DecodeResult:
        """Fill one span.

        Raises:
            Cancelled: between two forward passes; what was computed of the prompt stays reusable.
            ValueError: the request is out of bounds; one line that names the field.
        """
        if problem := request.problem(self.info.vocabulary_size):
            raise ValueError(problem)
        began = time.perf_counter()
        if self._cores is not None:
            self.network.use_cores(self._cores.count())
        with contextlib.ExitStack() as caches:

            def opened(cache: KVCache) -> KVCache:
                caches.callback(self.pool.close, cache)
                return cache

            *prompt, last = unpack_ids(request.prompt)
            draft = unpack_ids(request.draft)
            cache = opened(self.pool.open(prompt))
            cached = cache.length
            self._prefill(cache, prompt[cached:], is_cancelled)
            prefilled = time.perf_counter()

            answer = Answer(
                max_tokens=request.max_tokens,
                ends_line=self._ends_line if request.stop_at_line_end else None,
                refused_first=self._spaceless if request.starts_with_space else None,
                choices=request.candidates,
            )
            passes = 0

            def fill(answer: Answer, cache: KVCache, last: int) -> None:
                nonlocal passes
                start = (self.network, cache, last, answer)
                for snapshot in EDIT_MODES[request.mode](*start, draft) if draft else MODES[request.mode](*start):
                    passes += 1
                    if on_step is not None:
                        on_step(_step(snapshot, passes))
                    if is_cancelled():
                        raise Cancelled

            if request.max_tokens:
                fill(answer, cache, last)
            else:
                answer.finish = "length"
            others = [answer.forked(fork) for fork in answer.likely_forks(request.candidates - 1)]
            for other in others:
                if other.finish is None:
                    text = [*prompt, last, *other.tokens[:-1]]
                    fork = opened(self.pool.fork(cache, min(len(text), cache.length)))
                    self._prefill(fork, text[fork.length :], is_cancelled)
                    fill(other, fork, other.tokens[-1])
        return DecodeResult(
            tokens=pack_ids(answer.tokens),
            finish=answer.ended,
            score=answer.score,
            steps=answer.rounds,
            forward_passes=passes,
            cached_tokens=cached,
            prefill_ms=1e3 * (prefilled - began),
            denoise_ms=1e3 * (time.perf_counter() - prefilled),
            token_scores=tuple(answer.log_probability[: len(answer.tokens)]),
            alternatives=tuple(sorted(map(_alternative, others), key=attrgetter("score"), reverse=True)),
        )

    def _prefill(self, cache: KVCache, tokens: Sequence[int], is_cancelled: Callable[[], bool]) -> None:
        for at in range(0, len(tokens), PREFILL_TOKENS):
            if is_cancelled():
                raise Cancelled
            part = tokens[at : at + PREFILL_TOKENS]
            self.network.step(cache, part)
            cache.keep(part)


def load_decoder(
    *, checkpoint: Path, device: str = "auto", on_progress: Callable[[float], None] = lambda share: None
) -> BlockDecoder:
    """Load a checkpoint directory onto a device.

    Raises:
        ValueError: the checkpoint is missing or broken, or the device is not there; one line.
    """
    if not checkpoint.is_dir():
        raise ValueError(f"checkpoint: {checkpoint} is not a directory")
    chosen, _ = choose_device(device)
    tokenizer = Tokenizer.load(checkpoint)
    network = load_network(checkpoint, device=torch.device(chosen), on_progress=on_progress)
    config = network.config
    if tokenizer.vocabulary_size != config.vocabulary_size:
        raise ValueError(
            f"checkpoint: {checkpoint}: tokenizer.json has {tokenizer.vocabulary_size} tokens, "
            f"config.json says {config.vocabulary_size}"
        )
    info = ModelInfo(
        name=config.name,
        hash=checkpoint_hash(checkpoint),
        adapter=None,
        device=chosen,
        vocabulary_size=config.vocabulary_size,
        block_size=config.block_size,
        parameters=_parameters(config),
    )
    return BlockDecoder(network, tokenizer=tokenizer, info=info)


def _parameters(config: ModelConfig) -> int:
    """Weights of the matrices; the tied embedding counts once."""
    attended = config.num_heads * config.head_size
    key_values = 2 * config.num_key_value_heads * config.head_size
    layer = config.hidden_size * (2 * attended + key_values + 3 * config.intermediate_size)
    return config.vocabulary_size * config.hidden_size + config.num_layers * layer


def _alternative(answer: Answer) -> Alternative:
    return Alternative(tokens=pack_ids(answer.tokens), score=answer.score, finish=answer.ended)


def _step(snapshot: Snapshot, passes: int) -> Step:
    return Step(
        forward_pass=passes,
        start=snapshot.start,
        tokens=pack_ids(snapshot.tokens),
        confidence=snapshot.confidence,
    )
