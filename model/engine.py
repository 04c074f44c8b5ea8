"""The decoder: a prompt in, a filled span out, with the keys and values of earlier prompts reused."""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from .branches import Branches
from .cache import PAGE_SLOTS, CacheFull
from .code.guide import Guide
from .decoding import Answer, Snapshot
from .decoding.answer import Refusal
from .decoding_turn import Decoding, DeviceLost, decode_alone
from .device import DEVICE_FAULTS, fault
from .network import MAX_STEP_ROWS, Network, NotFinite, Part
from .request import Alternative, DecodeRequest, DecodeResult, ModelInfo, Step, pack_ids, unpack_ids
from .residents import Residents
from .threads import FreeCores
from .tokenizer import END_OF_MIDDLE, Tokenizer

CANDIDATE_SCRATCH_TOKENS = 64
"""Tokens of a step that may stand behind a candidate's end."""

WAIT_SECONDS = 0.005
"""For an adapter that is being prepared, while nobody asks for a pass."""

logger = logging.getLogger(__name__)


class BlockDecoder:
    """Implements `decoding_turn.Decoder` over a `Network`. Not thread-safe: one thread decodes."""

    def __init__(
        self,
        network: Network,
        *,
        tokenizer: Tokenizer,
        info: ModelInfo,
        residents: Residents | None = None,
        arranged: Callable[[Sequence[int]], list[int]] = list,
        cache_bytes: int | None = None,
    ) -> None:
        """
        Args:
            residents: adapters that requests may name; none where it is not given.
            arranged: a prompt in the form that the weights were taught.
            cache_bytes: for keys and values, where the device has less than is wanted for them.
        """
        self.network, self.info = network, info
        self._arranged = arranged
        self._residents = residents
        self._variants = weakref.WeakValueDictionary({"": network})
        """Networks by variant of the weights; who decodes with one holds it."""
        self._tokenizer = tokenizer
        self._ends_line = tokenizer.ends_line
        spaceless = ~tokenizer.begins_with_space
        spaceless[END_OF_MIDDLE] = False
        self._spaceless = torch.from_numpy(spaceless).to(network.device)
        self.pool = network.new_pool() if cache_bytes is None else network.new_pool(cache_bytes, whole=False)
        self._promised = 0
        """Pages that requests under way may come to need, as if they shared none."""
        self._cores = FreeCores() if network.device.type == "cpu" else None

    def begin(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> Decoding:
        """Take a request on; as `decoding_turn.Decoder`."""
        if self._cores is not None:
            cores = self._cores.count()
            for network in self._variants.values():
                network.use_cores(cores)
        return Decoding(self._passes(request, on_step))

    def decode(
        self,
        request: DecodeRequest,
        *,
        on_step: Callable[[Step], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> DecodeResult:
        """Fill one span alone; as `decode_alone`."""
        return decode_alone(self, request, on_step=on_step, is_cancelled=is_cancelled)

    def advance(self, decodings: Sequence[Decoding]) -> None:
        """One forward pass for all of them together; as `decoding_turn.Decoder`."""
        served = self._with_room(decodings)
        parts = [part for decoding in served for part in decoding.asked]
        if not parts and self._residents is not None:
            self._residents.wait(WAIT_SECONDS)
        try:
            states = iter(self._run_variants(parts))
        except MemoryError as error:  # torch's own for devices is a RuntimeError, which `_run` turns into this
            for decoding in served:
                decoding.fail(error)
            return
        for decoding in served:
            decoding.resume([next(states) for _ in decoding.asked])
            if isinstance(decoding.error, DEVICE_FAULTS):
                raise DeviceLost(fault(decoding.error))

    def _with_room(self, decodings: Sequence[Decoding]) -> list[Decoding]:
        """Those that fit into the rows of one step, and have pages for it."""
        served: list[Decoding] = []
        rows = 0
        for decoding in decodings:
            rows += sum(len(part.tokens) for part in decoding.asked)
            if served and rows > MAX_STEP_ROWS:
                break
            try:
                for part in decoding.asked:
                    part.cache.reserve(len(part.tokens))
            except CacheFull as error:
                decoding.fail(error)
            else:
                served.append(decoding)
        return served

    @contextlib.contextmanager
    def _promise(self, pages: int) -> Generator[None, None, None]:
        self._promised += pages
        try:
            yield
        finally:
            self._promised -= pages

    @contextlib.contextmanager
    def _mistrusted(self) -> Generator[None, None, None]:
        """When numbers break, none of the keys and values that led there may answer another request."""
        try:
            yield
        except NotFinite:
            self.pool.forget()
            raise

    def _run_variants(self, parts: Sequence[Part]) -> list[Tensor]:
        """A step for each variant of the weights that the parts are decoded with, one after the other.

        Raises:
            MemoryError, DeviceLost: as `_run`.
        """
        states: dict[int, Tensor] = {}
        for variant in dict.fromkeys(part.cache.variant for part in parts):
            chosen = [index for index, part in enumerate(parts) if part.cache.variant == variant]
            made = self._run(self._variants[variant], [parts[index] for index in chosen])
            states |= zip(chosen, made, strict=True)
        return [states[index] for index in range(len(parts))]

    def _run(self, network: Network, parts: Sequence[Part]) -> list[Tensor]:
        """A step; without memory for it, once more with a smaller cache.

        Raises:
            MemoryError: there is not enough for this step.
            DeviceLost: the same on an accelerator, or it fails altogether.
        """
        for shrunk in (False, True):
            try:
                return network.run(parts)
            except (MemoryError, torch.OutOfMemoryError):
                if not shrunk:
                    logger.warning("out of memory: the cache gives half of its pages back")
                    self.pool.shrink()
            except DEVICE_FAULTS as error:
                raise DeviceLost(fault(error)) from None
        if network.device.type != "cpu":
            raise DeviceLost(f"{network.device.type} has no memory left")
        raise MemoryError("the device has no memory for this request")

    def _passes(
        self, request: DecodeRequest, on_step: Callable[[Step], None] | None
    ) -> Generator[list[Part], list[Tensor], DecodeResult]:
        if problem := request.problem(self.info.vocabulary_size):
            raise ValueError(problem)
        prompt = self._arranged(unpack_ids(request.prompt))
        if (end := len(prompt) + request.max_tokens) > (limit := self.network.config.max_positions):
            raise ValueError(f"prompt: with {request.max_tokens} new tokens it ends at {end}, the model at {limit}")
        network, variant, adapter = yield from self._weights(request)
        began = time.perf_counter()
        pages = _pages(request)
        while self._promised and self._promised + pages > self.pool.capacity:
            yield []  # until others have ended: all that have begun can go on to their end

        def show(snapshot: Snapshot, passes: int) -> None:
            if on_step is not None:
                on_step(_step(snapshot, passes))

        with (
            self._promise(pages),
            self._mistrusted(),
            Branches(
                self.pool,
                network,
                prompt,
                mode=self.info.mode_for(request.mode),
                draft=unpack_ids(request.draft),
                variant=variant,
                on_pass=show,
            ) as branches,
        ):
            yield from branches.read_prompt()
            prefilled = time.perf_counter()
            answer, *others = yield from branches.decode(self._answer(request), request.candidates)
        return DecodeResult(
            tokens=pack_ids(answer.tokens),
            finish=answer.ended,
            score=answer.score,
            steps=answer.rounds,
            forward_passes=branches.passes,
            cached_tokens=branches.cached,
            prefill_ms=1e3 * (prefilled - began),
            denoise_ms=1e3 * (time.perf_counter() - prefilled),
            token_scores=tuple(answer.log_probability[: len(answer.tokens)]),
            alternatives=tuple(map(_alternative, others)),
            adapter=adapter,
        )

    def _answer(self, request: DecodeRequest) -> Answer:
        """The empty answer, with the rules that end it."""
        answer = Answer(
            max_tokens=request.max_tokens,
            ends_line=self._ends_line if request.stop_at_line_end else None,
            refused={0: Refusal(self._spaceless)} if request.starts_with_space else {},
            choices=request.candidates,
            finish=None if request.max_tokens else "length",
        )
        if request.span is not None:
            guide = Guide(request.span, self._tokenizer, space=request.starts_with_space)
            answer.ends_span = guide.ended
            answer.fault_in = guide.fault if request.guided else None
        return answer

    def _weights(self, request: DecodeRequest) -> Generator[list[Part], list[Tensor], tuple[Network, str, str | None]]:
        """The network that a request is decoded with, its variant, and its adapter; waits until that is prepared."""
        if not request.adapter:
            return self.network, "", self.info.adapter
        if self._residents is None:
            raise ValueError("adapter: this engine takes none beside the one in its weights")
        while (resident := self._residents.get(Path(request.adapter))) is None:
            yield []
        if self._cores is not None:
            resident.network.use_cores(self._cores.count())
        self._variants[resident.variant] = resident.network
        return resident.network, resident.variant, resident.adapter.identity


def _pages(request: DecodeRequest) -> int:
    """At most so many pages are needed: the text, a step's scratch, and for each candidate its own end.

    An attempt to mend one takes over from the attempt before; for a moment both hold a page of their own.
    """
    own = -(-(request.max_tokens + CANDIDATE_SCRATCH_TOKENS) // PAGE_SLOTS) + 1
    return len(request.prompt) // 4 // PAGE_SLOTS + request.candidates * own + request.guided


def _alternative(answer: Answer) -> Alternative:
    return Alternative(tokens=pack_ids(answer.tokens), score=answer.score, finish=answer.ended)


def _step(snapshot: Snapshot, passes: int) -> Step:
    return Step(
        forward_pass=passes,
        start=snapshot.start,
        tokens=pack_ids(snapshot.tokens),
        confidence=snapshot.confidence,
    )
