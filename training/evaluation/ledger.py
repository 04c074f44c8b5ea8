"""Cases already judged, kept on disk: a run that was ended goes on, and two runs never judge the same case twice."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

Result = TypeVar("Result", bound=msgspec.Struct)


def fingerprint(*values: Any) -> str:
    """Short digest of anything that msgspec can write: a case changed by one character is another case."""
    return hashlib.blake2b(msgspec.json.encode(values, enc_hook=str), digest_size=8).hexdigest()


class Ledger(Generic[Result]):
    """Results by the fingerprint of their case, one JSON line each. Held by one process at a time."""

    def __init__(self, path: Path, kind: type[Result]) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(tuple[str, kind])  # type: ignore[valid-type]
        self.results: dict[str, Result] = {}

    def __enter__(self) -> Ledger[Result]:
        """Waits for another process that judges the same cases, and takes over what it has judged."""
        import fcntl

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._path.open("a+b")
        fcntl.flock(self._stream, fcntl.LOCK_EX)  # let go of when the stream is closed, or its process dies
        self._stream.seek(0)
        whole = 0
        for line in self._stream:
            try:
                case, result = self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                break  # torn by the end of the process that wrote it, and with it what follows
            whole += len(line)
            self.results[case] = result
        self._stream.truncate(whole)
        return self

    def add(self, case: str, result: Result) -> Result:
        self.results[case] = result
        self._stream.write(msgspec.json.encode((case, result)) + b"\n")
        self._stream.flush()
        return result

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
