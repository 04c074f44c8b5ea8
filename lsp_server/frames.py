"""The `Content-Length` framing of the base protocol, from bytes to message bodies."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_BODY_BYTES = 8 * 1024 * 1024
"""What can be read within 0.1 s. A longer text is data, and nobody waits for its completion."""
MAX_HEADER_BYTES = 8 * 1024
HEAD_BYTES = 4 * 1024
_END_OF_HEADER = b"\r\n\r\n"
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,12})[ \t]*$", re.IGNORECASE | re.MULTILINE)


class FrameError(ValueError):
    """A frame that cannot be read. The stream goes on after it."""

    def __init__(self, reason: str, head: bytes = b"") -> None:
        super().__init__(reason)
        self.head = head
        """Of a message that is too long, how it begins."""


class FrameReader:
    """Turns chunks of a byte stream into message bodies, however the stream is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._length: int | None = None
        self._to_skip = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | FrameError]:
        """Take more bytes; yield every body that is complete now, and an error in place of every broken frame."""
        self._buffer += chunk
        while True:
            if self._length is not None and self._length > MAX_BODY_BYTES:
                if len(self._buffer) < HEAD_BYTES:
                    return
                reason = f"the message has {self._length} bytes, at most {MAX_BODY_BYTES} are allowed"
                self._to_skip = self._length
                self._length = None
                yield FrameError(reason, bytes(self._buffer[:HEAD_BYTES]))
            if self._to_skip:
                skipped = min(self._to_skip, len(self._buffer))
                del self._buffer[:skipped]
                self._to_skip -= skipped
                if self._to_skip:
                    return
            if self._length is None:
                error = self._read_header()
                if error is not None:
                    yield error
                    continue
            if self._length is not None and self._length > MAX_BODY_BYTES:
                continue
            if self._length is None or len(self._buffer) < self._length:
                return
            body = bytes(self._buffer[: self._length])
            del self._buffer[: self._length]
            self._length = None
            yield body

    def _read_header(self) -> FrameError | None:
        end = self._buffer.find(_END_OF_HEADER)
        if end < 0:
            if len(self._buffer) <= MAX_HEADER_BYTES:
                return None
            self._buffer.clear()
            return FrameError("the header has no end")
        header = bytes(self._buffer[:end]).replace(b"\r\n", b"\n")
        del self._buffer[: end + len(_END_OF_HEADER)]
        match = _LENGTH.search(header)
        if match is None:
            return FrameError("the header has no Content-Length")
        self._length = int(match.group(1))
        return None


def frame(body: bytes) -> bytes:
    """`body` with its header."""
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
