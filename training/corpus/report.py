"""What became of every file: counts by language and licence, and every rejection by its reason."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

REPORT_FILE = "report.json"


class Tally(msgspec.Struct, kw_only=True):
    """Files and their characters."""

    documents: int = 0
    characters: int = 0

    def add(self, characters: int) -> None:
        self.documents += 1
        self.characters += characters

    def merge(self, other: Tally) -> None:
        self.documents += other.documents
        self.characters += other.characters


class RefusedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package of which nothing was taken."""

    package: str
    reason: str


class Report(msgspec.Struct, kw_only=True):
    """One build. `refused` is by language, then by reason."""

    manifest_sha256: str = ""
    packages: int = 0
    kept: Tally = msgspec.field(default_factory=Tally)
    languages: dict[str, Tally] = msgspec.field(default_factory=dict)
    licences: dict[str, Tally] = msgspec.field(default_factory=dict)
    refused: dict[str, dict[str, Tally]] = msgspec.field(default_factory=dict)
    refused_packages: list[RefusedPackage] = msgspec.field(default_factory=list)
    tokens: dict[str, int] = msgspec.field(default_factory=dict)
    """By language; empty without a tokenizer."""

    def keep(self, language: str, licence: str, characters: int) -> None:
        self.kept.add(characters)
        self.languages.setdefault(language, Tally()).add(characters)
        self.licences.setdefault(licence, Tally()).add(characters)

    def refuse(self, language: str, reason: str, characters: int) -> None:
        self.refused.setdefault(language, {}).setdefault(reason, Tally()).add(characters)

    def merge_refused(self, refused: dict[str, dict[str, Tally]]) -> None:
        for language, reasons in refused.items():
            for reason, tally in reasons.items():
                self.refused.setdefault(language, {}).setdefault(reason, Tally()).merge(tally)

    def refused_by_reason(self) -> Counter[str]:
        """Files refused for each reason, most first."""
        counts: Counter[str] = Counter()
        for reasons in self.refused.values():
            counts.update({reason: tally.documents for reason, tally in reasons.items()})
        return counts

    def to_json(self) -> dict[str, Any]:
        """As it is written and printed: the sums first, languages and licences by size."""
        largest_first = {
            name: dict(sorted(getattr(self, name).items(), key=lambda item: -item[1].characters))
            for name in ("languages", "licences")
        }
        parts: dict[str, Any] = msgspec.to_builtins(self) | msgspec.to_builtins(largest_first)
        return parts | {"refused_by_reason": dict(self.refused_by_reason().most_common())}
