"""Frames and messages: plain MessagePack out, one typed error for anything else in."""

from __future__ import annotations

import asyncio
import struct
import tracemalloc

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffill.model.request import (
    MAX_CANDIDATES,
    MAX_NEW_TOKENS,
    MAX_PROMPT_TOKENS,
    DecodeRequest,
    DecodeResult,
    ModelInfo,
    Step,
    pack_ids,
)
from diffill.model.wire import (
    MAX_FRAME_BYTES,
    Cancel,
    Decode,
    Decoded,
    EngineStatus,
    Failed,
    Hello,
    Status,
    StatusReply,
    Stepped,
    Stop,
    Stopping,
    Welcome,
    WireError,
    decode_client_message,
    decode_engine_message,
    encode_frame,
    read_frame,
)

REQUEST = DecodeRequest(prompt=pack_ids([5, 4, 1000, 6]), document="a", trace=True)
RESULT = DecodeResult(
    tokens=pack_ids([1000]),
    finish="eom",
    score=-0.5,
    steps=1,
    forward_passes=2,
    cached_tokens=3,
    prefill_ms=1.5,
    denoise_ms=2.5,
)
MODEL = ModelInfo(name="m", hash="0" * 12, adapter=None, device="cpu", vocabulary_size=9, block_size=4, parameters=1)
STATUS = EngineStatus(state="ready", progress=1.0, detail="", model=MODEL, pid=1, uptime_s=0.5, requests=2)
CLIENT_MESSAGES = [
    Hello(protocol=1, build="b"),
    Decode(id=1, request=REQUEST),
    Cancel(id=1),
    Status(id=2),
    Stop(id=3),
]
ENGINE_MESSAGES = [
    Welcome(protocol=1, build="b", pid=7),
    Stepped(id=1, step=Step(forward_pass=1, start=0, tokens=pack_ids([3]), confidence=(0.25,))),
    Decoded(id=1, result=RESULT),
    Failed(id=0, code="busy", message="full"),
    StatusReply(id=2, status=STATUS),
    Stopping(id=3),
]

# No time limits: the machine may be busy.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(data: bytes) -> bytes | None:
    async def run() -> bytes | None:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_frame(reader)

    return asyncio.run(run())


@pytest.mark.parametrize("message", CLIENT_MESSAGES + ENGINE_MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_is_a_length_and_a_plain_map_and_comes_back_equal(message: msgspec.Struct) -> None:
    frame = encode_frame(message)
    assert struct.unpack("<I", frame[:4]) == (len(frame) - 4,)
    plain = msgspec.msgpack.decode(frame[4:])
    assert plain.pop("type") == type(message).__name__.lower()
    assert set(plain) == set(message.__struct_fields__)
    payload = read(frame)
    decode = decode_client_message if message in CLIENT_MESSAGES else decode_engine_message
    assert payload is not None and decode(payload) == message


def test_bytes_written_by_hand_from_the_messagepack_specification_are_understood() -> None:
    assert decode_client_message(b"\x82\xa4type\xa6cancel\xa2id\x07") == Cancel(id=7)
    request = b"\x82\xa6prompt\xc4\x04\x06\x00\x00\x00\xa4mode\xa2ar"
    message = decode_client_message(b"\x83\xa4type\xa6decode\xa2id\xcd\x01\x00\xa7request" + request)
    assert message == Decode(id=256, request=DecodeRequest(prompt=pack_ids([6]), mode="ar"))


@unhurried
@given(st.binary(max_size=400))
def test_random_bytes_are_a_message_or_the_typed_error(payload: bytes) -> None:
    for decode in (decode_client_message, decode_engine_message):
        try:
            decode(payload)
        except WireError as error:
            assert len(str(error).splitlines()) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@unhurried
@given(
    st.sampled_from(["hello", "decode", "cancel", "status", "stop", "stepped", "decoded", "failed", "message", ""]),
    st.dictionaries(st.sampled_from(["id", "request", "protocol", "build", "step", "code", "x"]), VALUES, max_size=4),
)
def test_well_formed_maps_with_wrong_fields_are_a_message_or_the_typed_error(
    kind: str, fields: dict[str, object]
) -> None:
    payload = msgspec.msgpack.encode({"type": kind, **fields})
    for decode in (decode_client_message, decode_engine_message):
        try:
            message = decode(payload)
        except WireError:
            continue
        assert type(message).__name__.lower() == kind


@unhurried
@given(st.sampled_from(CLIENT_MESSAGES), st.data())
def test_a_truncated_payload_is_the_typed_error(message: msgspec.Struct, data: st.DataObject) -> None:
    payload = encode_frame(message)[4:]
    with pytest.raises(WireError):
        decode_client_message(payload[: data.draw(st.integers(0, len(payload) - 1))])


def test_a_frame_cut_anywhere_is_the_typed_error_and_no_frame_at_all_is_the_end() -> None:
    frame = encode_frame(Decode(id=1, request=REQUEST))
    assert read(b"") is None
    for length in range(1, len(frame)):
        with pytest.raises(WireError, match="cut short"):
            read(frame[:length])


def messages_within(data: bytes) -> list[msgspec.Struct]:
    """Of a sound stream that is cut off, the messages that are whole."""
    messages: list[msgspec.Struct] = []
    while len(data) >= 4 and len(data) >= 4 + (length := int.from_bytes(data[:4], "little")):
        messages.append(decode_client_message(data[4 : 4 + length]))
        data = data[4 + length :]
    return messages


@st.composite
def broken_streams(draw: st.DrawFn) -> tuple[bytes, int]:
    """Frames of a client with one fault somewhere, and how many bytes before it are as they should be."""
    sent = b"".join(map(encode_frame, draw(st.lists(st.sampled_from(CLIENT_MESSAGES), min_size=1, max_size=4))))
    at = draw(st.integers(0, len(sent) - 1))
    fault = draw(st.binary(min_size=1, max_size=6))
    gone = draw(st.integers(0, 6))
    return sent[:at] + fault + sent[at + gone :], at


@unhurried
@given(broken_streams(), st.integers(1, 64))
def test_a_stream_with_a_fault_is_messages_up_to_it_and_then_messages_or_the_typed_error(
    stream: tuple[bytes, int], piece: int
) -> None:
    data, sound = stream

    async def run() -> list[msgspec.Struct]:
        reader = asyncio.StreamReader()
        reading = asyncio.ensure_future(read_all(reader))
        for at in range(0, len(data), piece):  # as a network delivers it
            reader.feed_data(data[at : at + piece])
            await asyncio.sleep(0)
        reader.feed_eof()
        return await reading

    async def read_all(reader: asyncio.StreamReader) -> list[msgspec.Struct]:
        messages: list[msgspec.Struct] = []
        try:
            while (payload := await read_frame(reader)) is not None:
                messages.append(decode_client_message(payload))
        except WireError as error:
            assert len(str(error).splitlines()) == 1
        return messages

    expected = messages_within(data[:sound])
    assert asyncio.run(run())[: len(expected)] == expected


@unhurried
@given(st.dictionaries(st.sampled_from(sorted(DecodeRequest.__struct_fields__)), VALUES, max_size=5))
def test_whatever_a_request_holds_it_is_refused_by_name_or_has_bounds(fields: dict[str, object]) -> None:
    payload = msgspec.msgpack.encode({"type": "decode", "id": 1, "request": {"prompt": REQUEST.prompt, **fields}})
    try:
        message = decode_client_message(payload)
    except WireError:
        return
    assert isinstance(message, Decode)
    request = message.request
    if (problem := request.problem(49_152)) is not None:
        assert problem.partition(":")[0] in DecodeRequest.__struct_fields__ and len(problem.splitlines()) == 1
    else:
        assert len(request.prompt) <= 4 * MAX_PROMPT_TOKENS and request.max_tokens <= MAX_NEW_TOKENS
        assert 1 <= request.candidates <= MAX_CANDIDATES


TYPE_STEPPED = b"\x83\xa4type\xa7stepped\xa2id\x01\xa4step"
BOMBS = {
    "nested arrays": b"\x91" * (MAX_FRAME_BYTES - 1),
    "nested arrays in an unknown field of hello": b"\x82\xa4type\xa5hello\xa1x" + b"\x91" * 500_000,
    "nested maps in an unknown field of hello": b"\x82\xa4type\xa5hello\xa1x" + b"\x81\xa1a" * 300_000,
    "array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "bytes of four thousand million": b"\x82\xa4type\xa6decode\xa7request\x81\xa6prompt\xc6\xff\xff\xff\xff",
    "text of four thousand million": b"\x82\xa4type\xa5hello\xa5build\xdb\xff\xff\xff\xff",
    "confidences of four thousand million": TYPE_STEPPED + b"\x81\xaaconfidence\xdd\xff\xff\xff\xff",
    "extension": b"\xc9\x00\x00\x00\x01\x05a",
    "invalid UTF-8": b"\x81\xa4type\xa1\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("payload", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_the_typed_error_and_takes_no_memory(payload: bytes) -> None:
    tracemalloc.start()
    try:
        for decode in (decode_client_message, decode_engine_message):
            with pytest.raises(WireError):
                decode(payload)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_anything_is_read(length: int) -> None:
    async def run() -> None:
        reader = asyncio.StreamReader()  # the payload never comes: only a refusal by length can end this
        reader.feed_data(struct.pack("<I", length))
        with pytest.raises(WireError, match="length"):
            await asyncio.wait_for(read_frame(reader), 60)

    asyncio.run(run())


def test_a_message_that_does_not_fit_a_frame_is_not_sent() -> None:
    with pytest.raises(WireError, match="at most"):
        encode_frame(Decode(id=1, request=DecodeRequest(prompt=b"\0" * MAX_FRAME_BYTES)))


def test_only_the_handshake_tolerates_fields_of_a_later_version() -> None:
    later = msgspec.msgpack.encode({"type": "hello", "protocol": 9, "build": "z", "new": 1})
    assert decode_client_message(later) == Hello(protocol=9, build="z")
    with pytest.raises(WireError):
        decode_client_message(msgspec.msgpack.encode({"type": "cancel", "id": 1, "new": 1}))


@pytest.mark.parametrize("identifier", [0, -1, "1", 1.5, None])
def test_a_request_id_is_a_positive_integer(identifier: object) -> None:
    with pytest.raises(WireError):
        decode_client_message(msgspec.msgpack.encode({"type": "cancel", "id": identifier}))


def test_the_error_quotes_nothing_of_the_payload() -> None:
    request = {"prompt": b"", "mode": "SECRET", "SECRET": 1}
    with pytest.raises(WireError) as caught:
        decode_client_message(msgspec.msgpack.encode({"type": "decode", "id": 1, "request": request}))
    assert "SECRET" not in str(caught.value)
