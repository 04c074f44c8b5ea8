"""Pairs of faults that were put into correct code, with what a real tool says about each."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tree_sitter import Tree

from ..corpus.documents import Document
from ..diagnostics import SYNTAX_ERROR, Diagnostic, compiled, news, parser, pyflakes, ruff
from ..syntax import parse
from .change import cut, widened
from .faults import Catalogue, Fault, put_faults
from .javascript_faults import JAVASCRIPT_FAULTS
from .no_op import untouched
from .options import EditOptions
from .pair import EditPair
from .python_faults import PYTHON_FAULTS

CATALOGUES: dict[str, Catalogue] = {
    "python": PYTHON_FAULTS,
    "javascript": JAVASCRIPT_FAULTS,
    "typescript": JAVASCRIPT_FAULTS,
    "tsx": JAVASCRIPT_FAULTS,
}
FILES_PER_RUFF = 32
STALE = 0.5
"""Share of untouched regions that are asked with a diagnostic that was cleared already."""


@dataclass(frozen=True, kw_only=True)
class FaultyFile:
    """A correct file, and faults that it may have."""

    document: Document
    tree: Tree
    faults: Sequence[Fault]


@dataclass(frozen=True, kw_only=True)
class DiagnosedFault:
    """One fault, and what a tool says about it; empty where none sees it."""

    file: FaultyFile
    fault: Fault
    diagnostic: str


def injected_pairs(documents: Sequence[Document], options: EditOptions, generator: random.Random) -> Iterator[EditPair]:
    """Repairs of faults in some correct files, and regions of the same files that must stay."""
    for at in range(0, len(documents), FILES_PER_RUFF):
        for diagnosed in diagnosed_faults(documents[at : at + FILES_PER_RUFF], options, generator):
            yield from _repair_and_no_op(diagnosed, options, generator)


def diagnosed_faults(
    documents: Sequence[Document], options: EditOptions, generator: random.Random
) -> Iterator[DiagnosedFault]:
    """Faults of some files; one run of ruff for all of them."""
    files = [file for document in documents if (file := _faulty(document, options, generator)) is not None]
    told = iter(_ruff_news([file for file in files if file.document.language == "python"]))
    for file in files:
        by_pyflakes = _PyflakesNews(file.document.text)
        for fault in file.faults:
            line = fault.repair.start + 1
            if file.document.language != "python":
                diagnostic = news([], parser(fault.faulty, file.document.language), line)
            else:
                diagnostic = next(told)
                if diagnostic.startswith(SYNTAX_ERROR):
                    said = compiled(fault.faulty) if generator.random() < options.compiler_share else None
                    diagnostic = said.text if isinstance(said, Diagnostic) else diagnostic
                elif generator.random() < options.pyflakes_share:
                    diagnostic = by_pyflakes.of(fault.faulty, line) or diagnostic
            yield DiagnosedFault(file=file, fault=fault, diagnostic=diagnostic)


def _faulty(document: Document, options: EditOptions, generator: random.Random) -> FaultyFile | None:
    tree = parse(document.text.encode(), document.language)
    if tree is None or tree.root_node.has_error:
        return None
    count = min(options.faults_per_file, max(1, len(document.text) // options.characters_per_fault))
    faults = put_faults(
        document.text,
        tree,
        CATALOGUES[document.language],
        generator,
        count=count,
        region_lines=options.cut.region_lines,
    )
    return FaultyFile(document=document, tree=tree, faults=list(faults))


def _ruff_news(files: Sequence[FaultyFile]) -> list[str]:
    """For each fault of each file in order."""
    said = iter(
        ruff([text for file in files for text in (file.document.text, *(fault.faulty for fault in file.faults))])
    )
    answers = []
    for file in files:
        before = next(said)
        answers += [news(before, next(said), fault.repair.start + 1) for fault in file.faults]
    return answers


class _PyflakesNews:
    """Pyflakes on a faulty file against the correct one, which is read once and only when needed."""

    def __init__(self, correct: str) -> None:
        self._correct = correct
        self._before: list[Diagnostic] | None = None

    def of(self, faulty: str, line: int) -> str:
        if self._before is None:
            self._before = pyflakes(self._correct)
        return news(self._before, pyflakes(faulty), line)


def _repair_and_no_op(diagnosed: DiagnosedFault, options: EditOptions, generator: random.Random) -> Iterator[EditPair]:
    """The repair, and now and then the same or another place of the correct file, to be left alone."""
    document, tree, repair = diagnosed.file.document, diagnosed.file.tree, diagnosed.fault.repair
    name = f"{document.package}:{document.path}"
    pair = cut(
        repair,
        widened(repair, options.cut, generator, tree),
        options.cut,
        instruction=diagnosed.diagnostic if generator.random() >= options.empty_instruction else "",
        language=document.language,
        kind="fault",
        source=name,
        label=diagnosed.fault.name,
    )
    if pair is not None:
        yield pair
    if generator.random() < options.no_op_share / (1 - options.no_op_share):
        stale = bool(diagnosed.diagnostic) and repair.start < repair.end and generator.random() < STALE
        no_op = untouched(
            repair.lines,
            options,
            generator,
            tree=tree,
            language=document.language,
            source=name,
            instruction=diagnosed.diagnostic if stale else "",
            label="stale diagnostic" if stale else "nothing asked",
            at=(repair.start, repair.end) if stale else None,
        )
        if no_op is not None:
            yield no_op
