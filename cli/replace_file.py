"""Files written beside the old one, then renamed over it."""

from __future__ import annotations

import codecs
import os
import shutil
import tempfile
from pathlib import Path


def replace_text(file: Path, before: str, after: str) -> None:
    """Replace the text of a file; its byte order mark, permissions and links stay.

    Raises:
        ValueError: the file does not hold `before` any more, or cannot be written. It is as it was.
    """
    target = file.resolve()
    temporary = None
    try:
        data = target.read_bytes()
        mark = codecs.BOM_UTF8 if data.startswith(codecs.BOM_UTF8) else b""
        if data != mark + before.encode():
            raise ValueError(f"{file}: it was changed meanwhile")
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            stream.write(mark + after.encode())
            stream.flush()
            os.fsync(stream.fileno())
        shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise ValueError(f"{file}: cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_whole(file: Path, data: bytes) -> None:
    """A new file, or a new text of an old one: never half of it.

    Raises:
        OSError: it cannot be written; what was there is there.
    """
    beside = file.with_name(f".{file.name}.part")
    beside.write_bytes(data)
    beside.replace(file)
