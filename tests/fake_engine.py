"""The real engine process around a model that answers what it is told, for tests: no torch, no weights.

Start it in place of the real one with

    DIFFILL_ENGINE_COMMAND="python /path/to/tests/fake_engine.py"

and a private DIFFILL_RUNTIME_DIR. It is told through the environment of the client that starts it:

DIFFILL_FAKE_ANSWER         text of every answer (default "fake answer")
DIFFILL_FAKE_TABLE          path of a JSON object, "end of the prefix" -> answer; the longest matching end wins,
                            DIFFILL_FAKE_ANSWER where none matches. Read again at every request.
DIFFILL_FAKE_GUIDED         text of every answer to a request with syntax guidance, in place of all that
DIFFILL_FAKE_DELAY          seconds before each step of 4 tokens (default 0); cancellation is looked at before each
DIFFILL_FAKE_LOAD_SECONDS   how long loading takes, with progress (default 0)
DIFFILL_FAKE_LOAD_ERROR     loading fails with this ValueError
DIFFILL_FAKE_HANG           seconds that a prefix ending in HANG sleeps in one forward pass (default 3600)

A prefix that ends in one of these makes the decoder misbehave: RAISE (an unexpected exception), REFUSE (a ValueError),
KILL (the process kills itself with SIGKILL), HANG (a forward pass that does not return), MEMORY (no memory for this
request), NAN (numbers that are none), LOSE (a device that is gone, unless it is the CPU). With DIFFILL_FAKE_ONCE, the
path of a file, it misbehaves once: it removes the file, and behaves when there is none, so that a repetition succeeds.
Steps, `max_tokens` and `stop_at_line_end` work as in the real decoder. The first decode, by which the process sees that
it is ready, is always fast.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.decoding_turn import Decoding, DeviceLost
from diffill.model.request import (
    DecodeRequest,
    DecodeResult,
    Finish,
    ModelInfo,
    Step,
    pack_ids,
    unpack_ids,
)
from diffill.model.service import main
from diffill.model.tokenizer import MASK, PREFIX, Tokenizer

BLOCK = 4
LOOKED_AT = 64
"""Tokens."""
FAULTS = ("RAISE", "REFUSE", "KILL", "HANG", "MEMORY", "NAN")


class FakeDecoder:
    """A `Decoder` that knows its answers beforehand."""

    def __init__(self, tokenizer: Tokenizer, device: str) -> None:
        self.info = ModelInfo(
            name="fake",
            hash="0" * 12,
            adapter=None,
            device="cpu" if device == "auto" else device,
            vocabulary_size=tokenizer.vocabulary_size,
            block_size=BLOCK,
            parameters=0,
        )
        self._tokenizer = tokenizer
        self._is_cpu = device == "cpu"
        self._warm = False

    def begin(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> Decoding:
        return Decoding(self._passes(request, on_step))

    def advance(self, decodings: Sequence[Decoding]) -> None:
        for decoding in decodings:
            decoding.resume(None)
            if isinstance(decoding.error, DeviceLost):
                raise decoding.error

    def _passes(
        self, request: DecodeRequest, on_step: Callable[[Step], None] | None
    ) -> Generator[None, None, DecodeResult]:
        if not self._warm:
            self._warm = True
            return self._result([], "eom", 0)
        prefix = self._prefix(request)
        if prefix.endswith("LOSE") and not self._is_cpu:
            yield
            raise DeviceLost("the fake is unplugged")
        self._misbehave(prefix)
        answer, finish = self._answer(prefix, request)
        blocks = [answer[start : start + BLOCK] for start in range(0, len(answer), BLOCK)]
        for index, block in enumerate(blocks):
            time.sleep(float(os.environ.get("DIFFILL_FAKE_DELAY", "0")))
            yield
            if on_step is not None:
                shown = block + [MASK] * (BLOCK - len(block))
                on_step(
                    Step(
                        forward_pass=index + 1,
                        start=index * BLOCK,
                        tokens=pack_ids(shown),
                        confidence=(1.0,) * BLOCK,
                    )
                )
        return self._result(answer, finish, len(blocks))

    def _prefix(self, request: DecodeRequest) -> str:
        """The text before the cursor: prefix, what the prompt gives of the middle, and the space left to the answer.

        Its end, of which alone the answer depends: what the server adds to a keystroke is measured with this model.
        """
        ids = unpack_ids(request.prompt[-4 * LOOKED_AT :])
        text = self._tokenizer.decode(ids[ids.index(PREFIX) + 1 if PREFIX in ids else 0 :])
        return text + " " if request.starts_with_space else text

    def _answer(self, prefix: str, request: DecodeRequest) -> tuple[list[int], Finish]:
        text = os.environ.get("DIFFILL_FAKE_ANSWER", "fake answer")
        if table := os.environ.get("DIFFILL_FAKE_TABLE"):
            answers: dict[str, str] = json.loads(Path(table).read_text("utf-8"))
            if matches := [end for end in answers if prefix.endswith(end)]:
                text = answers[max(matches, key=len)]
        if request.guided:
            text = os.environ.get("DIFFILL_FAKE_GUIDED", text)
        ids = self._tokenizer.encode(" " + text if request.starts_with_space else text)
        finish: Finish = "eom"
        if request.stop_at_line_end:
            for index, token in enumerate(ids):
                if self._tokenizer.ends_line[token]:
                    ids, finish = ids[: index + 1], "line"
                    break
        if len(ids) > request.max_tokens:
            ids, finish = ids[: request.max_tokens], "length"
        return ids, finish

    def _misbehave(self, prefix: str) -> None:
        fault = next((word for word in FAULTS if prefix.endswith(word)), None)
        if fault is None:
            return
        if once := os.environ.get("DIFFILL_FAKE_ONCE"):
            try:
                Path(once).unlink()
            except FileNotFoundError:
                return
        if fault == "RAISE":
            raise RuntimeError(f"this message quotes the prompt: {prefix}")
        if fault == "REFUSE":
            raise ValueError("mode: the fake refuses it")
        if fault == "MEMORY":
            raise MemoryError("the fake has none left")
        if fault == "NAN":
            raise ArithmeticError("the network's output is not a number")
        if fault == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(os.environ.get("DIFFILL_FAKE_HANG", "3600")))

    @staticmethod
    def _result(tokens: list[int], finish: Finish, steps: int) -> DecodeResult:
        return DecodeResult(
            tokens=pack_ids(tokens),
            finish=finish,
            score=0.0,
            steps=steps,
            forward_passes=steps,
            cached_tokens=0,
            prefill_ms=0.0,
            denoise_ms=0.0,
        )


def load_fake(checkpoint: Path, device: str, on_progress: Callable[[float], None]) -> FakeDecoder:
    """The fake does not read the checkpoint; its tokenizer is always the shipped one."""
    seconds = float(os.environ.get("DIFFILL_FAKE_LOAD_SECONDS", "0"))
    for tick in range(20):
        on_progress(tick / 20)
        time.sleep(seconds / 20)
    if problem := os.environ.get("DIFFILL_FAKE_LOAD_ERROR"):
        raise ValueError(problem)
    return FakeDecoder(Tokenizer.load(DEFAULT_CHECKPOINT), device)


if __name__ == "__main__":
    main(load=load_fake)
