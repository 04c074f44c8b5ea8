"""What pairs are like, whatever they are made from."""

from __future__ import annotations

import collections

import msgspec

from .change import CutConfig

Refusals = collections.Counter[str]
"""How often something was refused, by reason."""


class EditOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shares and limits; a change of any of them makes every pair anew."""

    cut: CutConfig = CutConfig()
    characters_per_fault: int = 900
    """A file of this many characters gets one fault, a longer one proportionally more."""
    faults_per_file: int = 24
    pairs_per_commit: int = 8
    no_op_share: float = 0.15
    empty_instruction: float = 0.25
    """Share of commits and of diagnosed faults that are asked for without a word."""
    compiler_share: float = 0.5
    """Share of Python's syntax errors that are told in the compiler's words; in ruff's otherwise."""
    pyflakes_share: float = 0.1
    """Share of Python's other faults that are told in pyflakes' words."""
    seed: int = 0
