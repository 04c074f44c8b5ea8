"""One training example of an edit."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["commit", "release", "fault", "no-op", "cleared"]


class EditPair(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """`prefix + before + suffix` becomes `prefix + after + suffix`; all four are whole lines.

    Prefix and suffix are the nearest lines of the file, not the whole of it. `before` equals `after` where the right
    answer is to change nothing.
    """

    prefix: str
    before: str
    after: str
    suffix: str
    instruction: str
    """One line: a commit's subject, a diagnostic, or empty."""
    language: str
    kind: Kind
    source: str
    """Where it comes from: `owner/name@commit:path` or `archive:path`."""
    label: str = ""
    """The fault that was put in, the rule that was cleared, or what a no-op is asked with; empty for other changes."""
