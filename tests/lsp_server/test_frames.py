"""Framing survives any cut of the stream and any broken header."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.lsp_server.frames import HEAD_BYTES, MAX_BODY_BYTES, MAX_HEADER_BYTES, FrameError, FrameReader, frame


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(1, 17))
@settings(deadline=None)
def test_bodies_survive_any_cut(bodies: list[bytes], size: int) -> None:
    stream = b"".join(map(frame, bodies))
    reader = FrameReader()
    found = [body for start in range(0, len(stream), size) for body in reader.feed(stream[start : start + size])]
    assert found == bodies


def test_header_names_are_case_insensitive_and_others_are_ignored() -> None:
    stream = b"content-type: x; charset=utf-8\r\ncontent-length:2\r\n\r\n{}"
    assert list(FrameReader().feed(stream)) == [b"{}"]


def test_a_header_without_length_is_reported_and_passed_over() -> None:
    error, body = FrameReader().feed(b"Content-Type: x\r\n\r\n" + frame(b"{}"))
    assert isinstance(error, FrameError)
    assert body == b"{}"


def test_a_header_without_end_is_not_kept() -> None:
    reader = FrameReader()
    (error,) = reader.feed(b"x" * (MAX_HEADER_BYTES + 1))
    assert isinstance(error, FrameError)
    assert list(reader.feed(frame(b"{}"))) == [b"{}"]


def test_an_oversized_message_is_skipped_without_being_kept() -> None:
    reader = FrameReader()
    length = MAX_BODY_BYTES + 1
    assert list(reader.feed(b"Content-Length: %d\r\n\r\n" % length)) == []
    chunk = bytes(1024 * 1024)
    (error,) = reader.feed(chunk)
    assert isinstance(error, FrameError) and error.head == chunk[:HEAD_BYTES]
    for _ in range(length // len(chunk) - 1):
        assert list(reader.feed(chunk)) == []
        assert not reader._buffer
    assert list(reader.feed(b"\0" + frame(b"{}"))) == [b"{}"]
