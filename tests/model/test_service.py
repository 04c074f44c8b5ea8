"""What clients say to the real engine process, in plain MessagePack; only the model behind it is a fake."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from diffill.model.request import MAX_NEW_TOKENS, MAX_PROMPT_TOKENS, unpack_ids
from diffill.model.wire import MAX_FRAME_BYTES, PROTOCOL, build
from tests.engine_process import (
    LONG_ANSWER,
    PlainClient,
    private_directory,
    running,
    until,
)


@pytest.fixture(scope="module")
def slow() -> Iterator[Path]:
    """The directory of an engine that takes long for every answer, to be cancelled."""
    with private_directory() as path, running(path, answer=LONG_ANSWER, delay="0.05"):
        with PlainClient(path) as client:
            client.wait_ready()
        yield path


@pytest.fixture(scope="module")
def quick() -> Iterator[Path]:
    with private_directory() as path, running(path, answer="return a + b"):
        with PlainClient(path) as client:
            client.wait_ready()
        yield path


def test_one_request_is_answered_with_its_steps(quick: Path) -> None:
    with PlainClient(quick) as client:
        client.decode(5, "def add(a, b):\n    ", trace=True)
        steps = []
        while (message := client.receive())["type"] == "stepped":
            steps.append(message)
        assert message["type"] == "decoded" and message["id"] == 5
        placed = [token for step in steps for token in unpack_ids(step["step"]["tokens"])]
        answer = unpack_ids(message["result"]["tokens"])
        assert answer and placed[: len(answer)] == answer
        assert [step["step"]["forward_pass"] for step in steps] == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("protocol, version", [(PROTOCOL + 1, build()), (PROTOCOL, "0.0.0"), (2**63, "x" * 1000)])
def test_another_version_is_refused_with_both_named(quick: Path, protocol: int, version: str) -> None:
    with PlainClient(quick, greet=False) as client:
        client.send(type="hello", protocol=protocol, build=version, later_field=1)
        answer = client.receive()
        assert answer["type"] == "failed" and answer["id"] == 0
        for part in (str(PROTOCOL), build(), str(protocol), version[:40]):
            assert part in answer["message"]
        assert client.closed()


@pytest.mark.parametrize("first", ["status", "stop", "decode"])
def test_nothing_is_done_before_the_handshake(quick: Path, first: str) -> None:
    with PlainClient(quick, greet=False) as client:
        if first == "decode":
            client.decode(1, "x")
        else:
            client.send(type=first, id=1)
        assert client.receive()["code"] == "bad_request"
        assert client.closed()
    with PlainClient(quick) as client:
        assert client.status()["state"] == "ready"


def garbage(seed: int) -> bytes:
    """Broken frames of several kinds; the seed is in the name of a test that fails."""
    source = random.Random(seed)
    hello = msgspec.msgpack.encode({"type": "hello", "protocol": PROTOCOL, "build": build()})
    greeting = struct.pack("<I", len(hello)) + hello
    payload = source.choice(
        [
            source.randbytes(source.randrange(1, 2000)),
            b"\x91" * source.randrange(1, MAX_FRAME_BYTES),
            b"\x82\xa4type\xa5hello\xa1x" + b"\x91" * source.randrange(1, 600_000),
            b"\xdd\xff\xff\xff\xff",
            msgspec.msgpack.encode({"type": "reboot", "id": 1}),
            msgspec.msgpack.encode({"type": "cancel", "id": -1}),
            msgspec.msgpack.encode({"type": "decode", "id": 1, "request": {"prompt": "text"}}),
            hello,
        ]
    )
    length = source.choice([len(payload), len(payload), 0, MAX_FRAME_BYTES + 1, 2**32 - 1])
    frame = struct.pack("<I", length) + payload
    return source.choice([greeting, greeting, b""]) + frame[: source.choice([len(frame), len(frame) // 2, 3])]


def test_broken_clients_lose_their_own_connection_and_nobody_elses(slow: Path) -> None:
    with PlainClient(slow) as healthy:
        healthy.decode(1, "x", trace=True)
        healthy.wait_for_step(1)
        pid = healthy.status()["pid"]
        for seed in range(60):
            with PlainClient(slow, greet=False) as broken:
                try:
                    broken.socket.sendall(garbage(seed))
                    broken.socket.shutdown(socket.SHUT_WR)
                except ConnectionError:
                    pass  # refused before all of it was sent
                assert broken.closed(), seed
        healthy.wait_for_step(1)
        assert healthy.status()["pid"] == pid


def test_clients_that_vanish_in_mid_stream_leave_nothing_behind(slow: Path) -> None:
    with PlainClient(slow) as healthy:
        healthy.decode(1, "x", trace=True)
        healthy.wait_for_step(1)
        process = psutil.Process(healthy.status()["pid"])
        before = process.num_fds()
        for number in range(40):
            leaver = PlainClient(slow)
            leaver.decode(1, "x", trace=True, priority="background")
            if number % 2:  # a reset in place of an end, as when a machine goes down
                leaver.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            leaver.socket.close()
        until(lambda: process.num_fds() <= before)
        healthy.wait_for_step(1)
        with PlainClient(slow) as late:
            late.decode(1, "x", max_tokens=1)
            assert late.answer(1)["type"] == "decoded", "nobody's work is in the way"


def test_a_frame_of_one_byte_per_packet_is_understood(quick: Path) -> None:
    with PlainClient(quick) as client:
        payload = msgspec.msgpack.encode({"type": "status", "id": 3})
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        for byte in struct.pack("<I", len(payload)) + payload:
            client.socket.sendall(bytes([byte]))
        assert client.receive()["id"] == 3


@pytest.mark.parametrize(
    "fields, name",
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": MAX_NEW_TOKENS + 1}, "max_tokens"),
        ({"max_tokens": 2**62}, "max_tokens"),
        ({"prompt": b""}, "prompt"),
        ({"prompt": b"123"}, "prompt"),
        ({"prompt": b"\xff\xff\xff\xff"}, "prompt"),
        ({"prompt": bytes(4 * (MAX_PROMPT_TOKENS + 1))}, "prompt"),
    ],
    ids=str,
)
def test_a_number_out_of_bounds_is_a_bad_request_and_the_connection_lives(
    quick: Path, fields: dict[str, object], name: str
) -> None:
    with PlainClient(quick) as client:
        client.decode(1, "x", **fields)
        answer = client.answer(1)
        assert answer["code"] == "bad_request" and answer["message"].startswith(f"{name}: ")
        client.decode(2, "x")
        assert client.answer(2)["type"] == "decoded"


def test_what_the_decoder_refuses_is_a_bad_request(quick: Path) -> None:
    with PlainClient(quick) as client:
        client.decode(1, "REFUSE")
        assert client.answer(1) == {
            "type": "failed",
            "id": 1,
            "code": "bad_request",
            "message": "mode: the fake refuses it",
        }


def test_an_id_in_use_is_a_broken_client(slow: Path) -> None:
    with PlainClient(slow) as client:
        client.decode(1, "x")
        client.decode(1, "x")
        assert client.closed()


def test_the_newest_request_of_a_document_wins_and_other_documents_are_left_alone(slow: Path) -> None:
    with PlainClient(slow) as client, PlainClient(slow) as other:
        client.decode(1, "x", document="a", trace=True)
        client.wait_for_step(1)
        other.decode(1, "x", document="a")
        client.decode(2, "x", document="b")
        client.decode(3, "x", document="a")
        assert client.answer(1)["code"] == "superseded"  # it was running
        client.decode(4, "x", document="a")
        assert client.answer(3)["code"] == "superseded"  # it was waiting
        for unharmed, identifier in ((client, 2), (client, 4), (other, 1)):
            unharmed.send(type="cancel", id=identifier)
            assert unharmed.answer(identifier)["code"] == "cancelled"


def test_requests_without_a_document_do_not_supersede_each_other(slow: Path) -> None:
    with PlainClient(slow) as client:
        client.decode(1, "x")
        client.decode(2, "x")
        client.send(type="cancel", id=2)
        client.send(type="cancel", id=99)  # unknown: ignored
        assert client.receive() == {
            "type": "failed",
            "id": 2,
            "code": "cancelled",
            "message": "cancelled by the client",
        }
        client.send(type="cancel", id=1)
        assert client.answer(1)["code"] == "cancelled"


def test_a_full_queue_is_busy_and_a_client_that_leaves_empties_it(slow: Path) -> None:
    with PlainClient(slow) as client:
        client.decode(1, "x", trace=True)
        client.wait_for_step(1)
        for identifier in range(2, 2 + 65):
            client.decode(identifier, "x")
        assert client.answer(66)["code"] == "busy"
    with PlainClient(slow) as client:
        client.decode(1, "x", trace=True)
        client.wait_for_step(1)  # only reached if none of the 65 above is decoded any more
        client.send(type="cancel", id=1)
        client.answer(1)


def test_a_client_that_does_not_read_is_dropped(quick: Path) -> None:
    with PlainClient(quick) as deaf, PlainClient(quick) as healthy:
        payload = msgspec.msgpack.encode({"type": "status", "id": 1})
        requests = (struct.pack("<I", len(payload)) + payload) * 1000
        with pytest.raises(ConnectionError):
            while True:
                deaf.socket.sendall(requests)
        assert healthy.status()["state"] == "ready"
