"""What `diffill demo` showed, as data: the JSON form, and what the screen prints."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from diffill.model.request import DecodeResult, Mode, ModelInfo


class ShownCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """One ghost text of the language server. Line and column count from 1."""

    file: str
    line: int
    column: int
    text: str
    """Empty when the server had nothing to say."""
    author: str
    """What the file says there."""
    first_ms: float
    again_ms: float
    """The same request once more: the prompt is cached."""


class ShownRepair(msgspec.Struct, frozen=True, kw_only=True):
    """One `Fix this` of the language server. The line counts from 1."""

    file: str
    line: int
    diagnostic: str
    before: str
    """The line with the mistake."""
    after: str
    """The line as repaired; empty when no safe fix was found."""
    verified: bool
    ms: float


class ModeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Several answers of one mode, summed."""

    mode: Mode
    answers: int
    tokens: int
    forward_passes: int
    tokens_per_forward: float
    prefill_ms: float
    denoise_ms: float

    @classmethod
    def of(cls, mode: Mode, results: Sequence[DecodeResult]) -> ModeFigures:
        tokens = sum(len(result.tokens) // 4 for result in results)
        forward_passes = sum(result.forward_passes for result in results)
        return cls(
            mode=mode,
            answers=len(results),
            tokens=tokens,
            forward_passes=forward_passes,
            tokens_per_forward=tokens / max(1, forward_passes),
            prefill_ms=sum(result.prefill_ms for result in results),
            denoise_ms=sum(result.denoise_ms for result in results),
        )


class ShownBlock(msgspec.Struct, frozen=True, kw_only=True):
    """The answer that was shown while it was denoised."""

    file: str
    text: str
    forward_passes: int
    tokens: int


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was shown."""

    model: ModelInfo
    device: str
    completions: list[ShownCompletion]
    repairs: list[ShownRepair]
    block: ShownBlock
    modes: list[ModeFigures]
    """The same places in every mode, asked alternately."""

    def median_ms(self) -> tuple[float, float]:
        """Median over the completions: asked first, asked again."""
        return (
            statistics.median(completion.first_ms for completion in self.completions),
            statistics.median(completion.again_ms for completion in self.completions),
        )
