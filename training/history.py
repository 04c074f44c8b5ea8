"""What a checkpoint has been through, kept beside its weights: a resumed stage goes on instead of starting over."""

from __future__ import annotations

from pathlib import Path

import msgspec

HISTORY_FILE = "history.json"


class History(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Totals of one stage over all its legs; a leg is one run of the command."""

    stage: str
    legs: int = 0
    steps: int = 0
    rows: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, checkpoint: Path, stage: str) -> History:
        """What `checkpoint` says of `stage`; nothing when it comes from elsewhere or from another stage.

        Raises:
            ValueError: the file is there and cannot be read.
        """
        path = checkpoint / HISTORY_FILE
        if not path.exists():
            return cls(stage=stage)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"start: {path}: {error}") from None
        return found if found.stage == stage else cls(stage=stage)

    def save(self, checkpoint: Path) -> None:
        """Written beside and renamed."""
        beside = checkpoint / f".{HISTORY_FILE}.part"
        beside.write_bytes(msgspec.json.encode(self) + b"\n")
        beside.replace(checkpoint / HISTORY_FILE)
