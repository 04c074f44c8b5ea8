"""A request on its way through a decoder, which it asks for one forward pass after the other. No torch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from .request import Cancelled, DecodeRequest, DecodeResult, ModelInfo, Step


class DeviceLost(Exception):
    """The device computes no more, or has no memory left; another one may. One line, nothing of a prompt."""


class Decoding:
    """One request between two forward passes. It is over when it has a `result` or an `error`."""

    def __init__(self, passes: Generator[Any, Any, DecodeResult]) -> None:
        """
        Args:
            passes: yields what the decoder needs to know for the next pass, and is sent what came out of it.
        """
        self.asked: Any = None
        self.result: DecodeResult | None = None
        self.error: Exception | None = None
        self._passes = passes
        self.resume(None)

    @property
    def over(self) -> bool:
        return self.result is not None or self.error is not None

    @property
    def waits(self) -> bool:
        """It asks for nothing until others have ended."""
        return isinstance(self.asked, list) and not self.asked

    def resume(self, given: Any) -> None:
        """Go on to the next pass with what came out of the last; what goes wrong is this request's own."""
        try:
            self.asked = self._passes.send(given)
        except StopIteration as end:
            self.result = end.value
        except Exception as error:
            self.error = error

    def fail(self, error: Exception) -> None:
        """End it early; what it held of the cache is given back."""
        self._passes.close()
        self.error = self.error or error


class Decoder(Protocol):
    """The seam between the engine process and the network; tests put a fake behind it."""

    info: ModelInfo

    def begin(self, request: DecodeRequest, *, on_step: Callable[[Step], None] | None = None) -> Decoding:
        """Take a request on; a bad one is over at once, with a `ValueError`."""
        ...

    def decode(
        self,
        request: DecodeRequest,
        *,
        on_step: Callable[[Step], None] | None = None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> DecodeResult:
        """Fill one span alone. Raises `Cancelled` when `is_cancelled` turns true between forward passes."""
        ...

    def advance(self, decodings: Sequence[Decoding]) -> None:
        """One forward pass for all of them together. What fails for one ends that one; what is raised ends all.

        Raises:
            DeviceLost: they can begin again on another device.
        """
        ...


def decode_alone(
    decoder: Decoder,
    request: DecodeRequest,
    *,
    on_step: Callable[[Step], None] | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> DecodeResult:
    """Fill one span, with no other request in between.

    Raises:
        Cancelled: between two forward passes; what was computed of the prompt stays reusable.
        ValueError: the request is out of bounds; one line that names the field.
    """
    decoding = decoder.begin(request, on_step=on_step)
    while not decoding.over:
        if is_cancelled():
            decoding.fail(Cancelled())
        else:
            decoder.advance([decoding])
    if decoding.result is None:
        raise decoding.error or RuntimeError("a decoding ended without a result")
    return decoding.result
