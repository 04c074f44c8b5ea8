"""What the engine is asked and what it answers, as token ids. Shared by the engine, the wire and the clients; no torch.

Token ids travel as little-endian uint32 bytes: one buffer decodes in a microsecond where a list of integers takes six.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import msgspec
import numpy as np

from .code.span import Span
from .config import ModelConfig

Mode = Literal["ar", "verify", "diffusion"]
MODES: tuple[Mode, ...] = get_args(Mode)
Finish = Literal["eom", "line", "span", "error", "length"]
"""The model ended it; the line, or the span, was at its end; its last line is a new syntax error; it is long enough."""
Priority = Literal["typing", "repair", "background"]
MAX_PROMPT_TOKENS = 8192
MAX_NEW_TOKENS = 1024
MAX_CANDIDATES = 8
MAX_PATH = 4096
MAX_SPAN_CHARACTERS = 40_000
"""Of the text around a span: more would take too long to parse beside a completion."""


def pack_ids(ids: Iterable[int]) -> bytes:
    """Token ids as little-endian uint32 bytes."""
    return np.fromiter(ids, dtype="<u4").tobytes()


def unpack_ids(data: bytes) -> list[int]:
    """The inverse of `pack_ids`.

    Raises:
        ValueError: the buffer is not a whole number of uint32.
    """
    if len(data) % 4:
        raise ValueError(f"token ids: {len(data)} bytes are not a whole number of uint32")
    ids: list[int] = np.frombuffer(data, dtype="<u4").tolist()
    return ids


class DecodeRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One span to fill."""

    prompt: bytes
    """Token ids of the whole prompt: `SUFFIX suffix PREFIX prefix MIDDLE`, and what of the middle is given."""
    mode: Mode = "verify"
    max_tokens: int = 64
    """At most this many new tokens, end-of-middle not counted; 0 only reads the prompt, ahead of a request to come."""
    stop_at_line_end: bool = False
    """Stop after the first token that ends a line (it is part of the answer; the caller trims)."""
    span: Span | None = None
    """What the answer fills: it ends where this ends, and what it says behind that was not worth a forward pass."""
    guided: bool = False
    """Where the answer makes a new syntax error in the text around `span`, take other tokens near it."""
    starts_with_space: bool = False
    """The first token begins with a space, which was taken off the prompt's end, or the answer is empty."""
    document: str = ""
    """Opaque key. A newer request with the same key supersedes the older one; empty means none."""
    trace: bool = False
    """Report every forward pass as a `Step`."""
    candidates: int = 1
    """How many distinct answers are wanted; there may be fewer when the model sees no other."""
    draft: bytes = b""
    """Token ids of a text that the answer is likely to resemble, as the present text of a region under repair does."""
    adapter: str = ""
    """Directory of an adapter, which the engine keeps beside the base; empty is the base. The first request that names
    one waits until it is prepared."""
    priority: Priority = "typing"
    """Whose turn it is when several wait: somebody who types, then somebody who watches a repair, then the rest."""

    def problem(self, vocabulary_size: int) -> str | None:
        """Why this request cannot be served, in one line that names the field, or None."""
        if len(self.prompt) % 4 or not self.prompt:
            return f"prompt: {len(self.prompt)} bytes are not a whole, positive number of uint32 token ids"
        if len(self.prompt) // 4 > MAX_PROMPT_TOKENS:
            return f"prompt: {len(self.prompt) // 4} tokens, at most {MAX_PROMPT_TOKENS} are allowed"
        if len(self.draft) % 4:
            return f"draft: {len(self.draft)} bytes are not a whole number of uint32 token ids"
        if len(self.draft) // 4 > MAX_NEW_TOKENS:
            return f"draft: {len(self.draft) // 4} tokens, at most {MAX_NEW_TOKENS} are allowed"
        for name, ids in (("prompt", self.prompt), ("draft", self.draft)):
            if ids and int(np.frombuffer(ids, dtype="<u4").max()) >= vocabulary_size:
                return f"{name}: a token id is not below the vocabulary size {vocabulary_size}"
        if self.guided and self.span is None:
            return "guided: there is no span, so what the answer means for its surroundings is not known"
        if self.span and (around := len(self.span.prefix) + len(self.span.suffix)) > MAX_SPAN_CHARACTERS:
            return f"span: {around} characters around it, at most {MAX_SPAN_CHARACTERS} are allowed"
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            return f"candidates: {self.candidates} is not between 1 and {MAX_CANDIDATES}"
        if len(self.adapter) > MAX_PATH or (self.adapter and not self.adapter.startswith("/")):
            return "adapter: it is no absolute path"
        if not 0 <= self.max_tokens <= MAX_NEW_TOKENS:
            return f"max_tokens: {self.max_tokens} is not between 0 and {MAX_NEW_TOKENS}"
        return None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one forward pass changed, for the trace and the live view."""

    forward_pass: int
    """1-based count over the request."""
    start: int
    """Index, in the answer, of the first token shown here."""
    tokens: bytes
    """The block being denoised; MASK where nothing is placed yet."""
    confidence: tuple[float, ...]
    """Probability of the best token at each position, placed or not."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """A further answer, which differs from the others in its tokens."""

    tokens: bytes
    score: float
    """As the score of a `DecodeResult`."""
    finish: Finish


class DecodeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One filled span."""

    tokens: bytes
    """The middle, without the end-of-middle token."""
    finish: Finish
    score: float
    """Mean log-probability of the tokens where they were placed (the causal head in `ar` and `verify`)."""
    steps: int
    """Denoising or decoding rounds."""
    forward_passes: int
    """Calls of the network after the prompt, drafts and checks both counted."""
    cached_tokens: int
    """Prompt tokens whose keys and values were reused from an earlier request."""
    prefill_ms: float
    denoise_ms: float
    token_scores: tuple[float, ...] = ()
    """Log-probability of each token of the answer."""
    alternatives: tuple[Alternative, ...] = ()
    """Best first."""
    adapter: str | None = None
    """Name and hash of the adapter that the request named."""

    def answers(self) -> list[Alternative]:
        """All answers, this one first."""
        return [Alternative(tokens=self.tokens, score=self.score, finish=self.finish), *self.alternatives]


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is loaded, as every answer and `doctor` report it."""

    name: str
    hash: str
    """First 12 hexadecimal digits of the sha256 over the weight shards' sha256."""
    adapter: str | None
    device: str
    vocabulary_size: int
    block_size: int
    parameters: int
    modes: tuple[Mode, ...] = MODES
    """What the weights can do; a request in another mode is decoded in the first of these."""

    def mode_for(self, wanted: Mode) -> Mode:
        return wanted if wanted in self.modes else self.modes[0]


def modes_of(config: ModelConfig) -> tuple[Mode, ...]:
    """What weights can do; see `ModelInfo.modes`."""
    if config.context_block > 1:
        return ("diffusion",)
    return MODES if config.denoises else ("verify", "ar")


class Cancelled(Exception):
    """The request was cancelled between two forward passes."""
