"""Messages between the engine process and its clients: MessagePack maps in frames with a 4-byte little-endian length.

A client says `Hello` first and reads `Welcome`, or `Failed` with both versions when they do not match; then both sides
send whatever they like. A frame that is too long, cut short or not one of these messages ends that connection only.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from .request import DecodeRequest, DecodeResult, ModelInfo, Step

PROTOCOL = 1
MAX_FRAME_BYTES = 1 << 20
CONNECTION_ID = 0
"""The id of a `Failed` that is about the connection, not about one request."""

ErrorCode = Literal["cancelled", "superseded", "busy", "engine_dead", "bad_request", "unavailable"]
Identifier = Annotated[int, msgspec.Meta(ge=1)]

_LENGTH = struct.Struct("<I")
_Decoded = TypeVar("_Decoded")


class WireError(Exception):
    """The other side sent something that is not a message, or a message does not fit a frame. One line, no content."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower, forbid_unknown_fields=True):
    """Every message is a map whose `type` is the class name in lower case."""


class Hello(Message, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """First message of a client. Unknown fields are let through so that a newer client still learns our version."""

    protocol: int
    build: str


class Decode(Message, frozen=True, kw_only=True):
    """Fill one span; answered by `Stepped` zero or more times, then once by `Decoded` or `Failed`."""

    id: Identifier
    request: DecodeRequest


class Cancel(Message, frozen=True, kw_only=True):
    """Give up on a `Decode`; it is answered `Failed` with `cancelled` unless its answer is already on its way."""

    id: Identifier


class Status(Message, frozen=True, kw_only=True):
    """Answered by `StatusReply`."""

    id: Identifier


class Stop(Message, frozen=True, kw_only=True):
    """End the engine process; answered by `Stopping`, then by the end of the connection."""

    id: Identifier


class Welcome(Message, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The versions match."""

    protocol: int
    build: str
    pid: int


class Stepped(Message, frozen=True, kw_only=True):
    """One forward pass of a traced `Decode`."""

    id: Identifier
    step: Step


class Decoded(Message, frozen=True, kw_only=True):
    """The answer of a `Decode`."""

    id: Identifier
    result: DecodeResult


class Failed(Message, frozen=True, kw_only=True):
    """Why there is no answer, in one line."""

    id: Annotated[int, msgspec.Meta(ge=0)]
    code: ErrorCode
    message: str


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine process is doing."""

    state: Literal["loading", "ready", "failed"]
    """`ready` means that a real forward pass has run."""
    progress: float
    """0 to 1 while loading."""
    detail: str
    """One line: the step of the loading, or why it failed."""
    model: ModelInfo | None
    pid: int
    uptime_s: float
    requests: int
    """Decode requests taken since the start."""


class StatusReply(Message, frozen=True, kw_only=True):
    """The answer of a `Status`."""

    id: Identifier
    status: EngineStatus


class Stopping(Message, frozen=True, kw_only=True):
    """The answer of a `Stop`."""

    id: Identifier


ClientMessage = Hello | Decode | Cancel | Status | Stop
EngineMessage = Welcome | Stepped | Decoded | Failed | StatusReply | Stopping

_ENCODER = msgspec.msgpack.Encoder()
_CLIENT_DECODER: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_ENGINE_DECODER: msgspec.msgpack.Decoder[EngineMessage] = msgspec.msgpack.Decoder(EngineMessage)


@lru_cache(maxsize=1)
def build() -> str:
    """The package version and a hash of the engine's sources; two builds never share an engine."""
    try:
        release = version("diffill")
    except PackageNotFoundError:  # run from a source tree that is not installed
        release = "unknown"
    sources = hashlib.blake2b(digest_size=4)
    for path in sorted(Path(__file__).parent.rglob("*.py")):  # 2 ms; an installed release may be edited, a checkout is
        sources.update(path.read_bytes())
    return f"{release}+{sources.hexdigest()}"


def encode_frame(message: ClientMessage | EngineMessage) -> bytes:
    """A message with its length in front.

    Raises:
        WireError: it is longer than `MAX_FRAME_BYTES`.
    """
    payload = _ENCODER.encode(message)
    if len(payload) > MAX_FRAME_BYTES:
        raise WireError(f"frame: {len(payload)} bytes, at most {MAX_FRAME_BYTES} are allowed")
    return _LENGTH.pack(len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next payload, or None when the other side closed between two frames.

    Raises:
        WireError: the stated length is zero or too long (nothing is allocated for it), or the frame is cut short.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise WireError("frame: cut short within its length") from None
    if not 1 <= length <= MAX_FRAME_BYTES:
        raise WireError(f"frame: length {length} is not between 1 and {MAX_FRAME_BYTES}")
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise WireError(f"frame: cut short after {len(error.partial)} of {length} bytes") from None


def decode_client_message(payload: bytes) -> ClientMessage:
    """What a client sent.

    Raises:
        WireError: the payload is none of the messages a client may send.
    """
    return _decode(_CLIENT_DECODER, payload)


def decode_engine_message(payload: bytes) -> EngineMessage:
    """What the engine sent.

    Raises:
        WireError: the payload is none of the messages an engine may send.
    """
    return _decode(_ENGINE_DECODER, payload)


def _decode(decoder: msgspec.msgpack.Decoder[_Decoded], payload: bytes) -> _Decoded:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # ValueError: invalid UTF-8; RecursionError: a bomb of nested arrays under an unknown field. The decoder's own
        # text may quote the payload, so only the kind of fault is passed on.
        raise WireError(f"frame: not a message ({type(error).__name__})") from None
