"""What an adapter is judged by: text that later commits wrote, and code of others that it must not forget.

Later commits: lines and pieces of syntax that no file held at the commit that was trained to, hunks told by their
subject, findings that a commit cleared, and faults put into new lines. What nobody may forget: lines of Python's
standard library, which is on every machine, and the task files that a team names.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import read_config
from ..corpus.documents import Document
from ..edits import EditPair
from ..edits.change import CutConfig
from ..edits.fault_set import repair_of_fault
from ..edits.injected import CATALOGUES, diagnosed_faults
from ..edits.options import EditOptions
from ..evaluation.holes import Hole, line_hole, lines_at, lines_worth_asking, span_hole
from ..evaluation.infilling import InfillingCase
from ..evaluation.measures import Measure, MeasureConfig, hole_measure, measures, repair_measure
from ..evaluation.repair import FaultPair, Repair, repairs_of_pair
from ..spans import syntax_nodes
from .edits import WHOLE_FILE, judged_repairs
from .repository import Repository
from .selection import select
from .standard_library import measured_modules

if TYPE_CHECKING:
    from .plan import Plan

LONGEST_SPAN = 160
"""Characters of a piece of syntax that is asked for."""
FAULTS_TRIED, FAULTS_OF_FILE = 64, 4
STANDARD_LIBRARY = "standard library lines"
NO_TOOL = "text"
"""In place of a language: hunks are compared with what people wrote, and no tool is asked."""


class NewLines:
    """Files as the last commit has them, and which of their lines are news to an adapter."""

    def __init__(self, repository: Repository, paths: Sequence[str]) -> None:
        self.documents = select(repository, paths=paths, commit=repository.judged_to).documents
        known = lines_at(repository.path, repository.trained_to)
        self._new = {document.path: frozenset(lines_worth_asking(document.text, known)) for document in self.documents}

    def lines(self) -> Iterator[tuple[Document, int]]:
        for document in self.documents:
            for index in sorted(self._new[document.path]):
                yield document, index

    def spans(self) -> Iterator[tuple[Document, int, int]]:
        """Pieces of syntax that begin in a new line."""
        for document in self.documents:
            for start, end in syntax_nodes(document.text, document.language) if self._new[document.path] else ():
                if end - start <= LONGEST_SPAN and document.text.count("\n", 0, start) in self._new[document.path]:
                    yield document, start, end

    def faults(self, generator: random.Random) -> Iterator[EditPair]:
        """Faults of new lines, told by the tool that sees them; a few of each file, the files in random order."""
        limits = CutConfig(prefix_characters=WHOLE_FILE, suffix_characters=WHOLE_FILE)
        options = EditOptions(
            cut=limits, characters_per_fault=100, faults_per_file=FAULTS_TRIED, compiler_share=0, pyflakes_share=0
        )
        changed = [
            document for document in self.documents if self._new[document.path] and document.language in CATALOGUES
        ]
        for document in generator.sample(changed, len(changed)):
            new = self._new[document.path]
            told = (
                diagnosed
                for diagnosed in diagnosed_faults([document], options, generator)
                if diagnosed.diagnostic and diagnosed.fault.repair.start in new
            )
            pairs = (repair_of_fault(diagnosed, limits, generator) for diagnosed in told)
            yield from itertools.islice(filter(None, pairs), FAULTS_OF_FILE)


def later_measures(plan: Plan, most: int, most_lines: int | None = None) -> list[Measure]:
    """At most so many cases of each kind, a seeded sample; kinds without a case are left out.

    Args:
        most_lines: of lines alone, the kind that says most about completion; as of the others by default.
    """
    generator = random.Random(plan.config.seed)
    new = NewLines(plan.repository, plan.config.paths)

    def some(cases: list[EditPair]) -> list[EditPair]:
        return generator.sample(cases, min(most, len(cases)))

    lines, spans = list(new.lines()), list(new.spans())
    found = [
        hole_measure(
            "lines",
            [
                line_hole(document.path, document.text, index)
                for document, index in generator.sample(lines, min(most_lines or most, len(lines)))
            ],
        ),
        hole_measure(
            "syntax",
            [
                span_hole(document.path, document.text, start, end)
                for document, start, end in generator.sample(spans, min(most, len(spans)))
            ],
        ),
        repair_measure("next hunk", _whole(some(plan.judged.pairs), NO_TOOL)),
        repair_measure("cleared findings", _located(some(judged_repairs(plan.repository, plan.selection)))),
        repair_measure("faults", _located(list(itertools.islice(new.faults(generator), most)))),
    ]
    return [measure for measure in found if measure.cases]


def public_measures(cases: Path | None, most: int, seed: int) -> list[Measure]:
    """What must not be forgotten. Raises ValueError when a task file cannot be read."""
    texts = measured_modules()
    places = [(name, index) for name, text in texts.items() for index in lines_worth_asking(text)]
    chosen = random.Random(seed).sample(places, min(most, len(places)))
    known = hole_measure(STANDARD_LIBRARY, [line_hole(name, texts[name], index) for name, index in chosen])
    return [known, *measures(_config(cases), limit=most, seed=seed)]


def texts_of(cases: Path | None) -> Iterator[str]:
    """Every text of the task files, whole, so that none of it is trained on."""
    for measure in measures(_config(cases), limit=None, seed=0):
        for case in measure.cases:
            if isinstance(case, InfillingCase):
                yield case.program(case.canonical_solution)
            elif isinstance(case, Repair):
                yield case.document(case.expected)
            elif isinstance(case, Hole):
                yield case.prefix + case.missing + case.suffix


def _config(cases: Path | None) -> MeasureConfig:
    return MeasureConfig() if cases is None else read_config(cases, MeasureConfig)


def _whole(pairs: Sequence[EditPair], language: str) -> list[Repair]:
    return [repair for pair in pairs for repair in _asked(pair, language) if repair.part == "unlocated"]


def _located(pairs: Sequence[EditPair]) -> list[Repair]:
    return [repair for pair in pairs for repair in _asked(pair, pair.language) if repair.part == "located"]


def _asked(pair: EditPair, language: str) -> list[Repair]:
    fields = {name: getattr(pair, name) for name in ("prefix", "before", "after", "suffix", "instruction", "kind")}
    task = FaultPair(**fields, language=language, source=pair.source)
    return repairs_of_pair(task, f"{pair.source}:{1 + pair.prefix.count(chr(10))}")
