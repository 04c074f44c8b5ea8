"""What is to be repaired: a finding of some tool at a place, or an instruction for a selection."""

from __future__ import annotations

import re
from dataclasses import dataclass

from diffill.model.code.syntax import Syntax

from ..documents import Document
from .linter import Finding

GRAMMAR = "tree-sitter"
SYNTAX = "syntax"
"""Source and code of a fault that the grammar reports, in a language whose tools are not run here."""
_LINE_NUMBER = re.compile(r"\bline \d+")
_QUOTES = str.maketrans('`"', "''")
# What ruff, flake8 and pyflakes call things that may go without a replacement.
_UNUSED = {"F401", "F811", "F841", "B007", "ERA001", "W291", "W292", "W293", "W391"}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A range of characters, what is wrong there, and who says so."""

    start: int
    end: int
    code: str = ""
    message: str = ""
    source: str = ""
    """The tool as the editor names it; empty for a selection."""
    unnecessary: bool = False
    """What stands there is not used, so that deleting it is a repair."""

    @property
    def may_be_deleted(self) -> bool:
        return self.unnecessary or self.code in _UNUSED

    @property
    def may_lack_import(self) -> bool:
        return self.code == "F821"

    @property
    def instruction(self) -> str:
        """The line that the model is given: `F821 Undefined name 'x'`."""
        return " ".join(f"{self.code} {self.message.translate(_QUOTES)}".split())

    def is_finding(self, finding: Finding) -> bool:
        """Whether `finding` is what the editor reports: at the same place, under the same code or in the same words."""
        touches = finding.start <= self.end and self.start <= finding.end
        return touches and (finding.code == self.code or same_words(finding.message, self.message))

    def closest(self, findings: list[Finding]) -> Finding | None:
        """Of `findings`, the one that this is: in the same words if there is such a one, then the nearest range."""
        return min(
            filter(self.is_finding, findings),
            key=lambda finding: (
                not same_words(finding.message, self.message),
                abs(finding.start - self.start) + abs(finding.end - self.end),
            ),
            default=None,
        )

    @classmethod
    def of_finding(cls, finding: Finding) -> Fault:
        return cls(start=finding.start, end=finding.end, code=finding.code, message=finding.message, source="ruff")


def same_words(one: str, other: str) -> bool:
    """Whether two messages say the same, kinds of quotes, capitals and line numbers aside."""
    return normal_words(one).casefold() == normal_words(other).casefold()


def normal_words(message: str) -> str:
    """A message that stays the same when lines above it come or go."""
    return _LINE_NUMBER.sub("line", message.translate(_QUOTES)).strip(" .")


def syntax_faults(document: Document) -> list[Fault]:
    """Where the grammar cannot read the text; empty where there is no grammar."""
    syntax = Syntax.parse(document.text, document.language)
    if syntax is None:
        return []
    return [
        Fault(
            start=syntax.start_of(node),
            end=syntax.end_of(node),
            code=SYNTAX,
            message=f"`{node.type}` is missing" if node.is_missing else "this cannot be parsed",
            source=GRAMMAR,
        )
        for node in syntax.problem_nodes()
    ]
