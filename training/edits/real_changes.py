"""Pairs of what people changed: commits with their subjects, and releases without a word."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from tree_sitter import Tree

from ..corpus.archives import SourceFile
from ..syntax import parse
from .change import Change, cut, widened
from .history import CommittedFile, History
from .no_op import untouched
from .options import EditOptions, Refusals
from .pair import EditPair
from .releases import Releases, released_files
from .screen import change_refusal, file_refusal

EARLIER_SUBJECTS = 200
ANOTHER_SUBJECT = 0.4
"""Share of untouched regions that are asked with the subject of another commit."""
PAIRS_OF_A_FILE = 1.6
"""What one changed file yields on average; makes the share of no-ops come out right."""


def commit_pairs(
    history: History, commits: Sequence[str], options: EditOptions, refusals: Refusals, generator: random.Random
) -> Iterator[EditPair]:
    """The changes of some commits, and untouched regions of the files that they changed."""
    earlier: list[str] = []
    for commit in commits:
        left = options.pairs_per_commit
        for file in history.files(commit, refusals):
            made = list(_pairs_of_file(file, history.name, left, earlier, options, refusals, generator))
            left -= sum(pair.kind == "commit" for pair in made)
            yield from made
            if file.subject:
                earlier = [*earlier[-EARLIER_SUBJECTS:], file.subject]


def release_pairs(
    archives: Path, releases: Releases, options: EditOptions, refusals: Refusals, generator: random.Random
) -> Iterator[EditPair]:
    """The changes between two releases.

    Raises:
        ValueError: an archive is missing, unreadable or not the pinned one.
    """
    for file in released_files(archives, releases):
        source = file.source
        changes = worth_learning(file.changes, refusals)
        tree = accepted_tree(source, refusals) if changes else None
        if tree is None:
            continue
        name = f"{releases.newer.label}:{source.path}"
        for change in changes:
            pair = cut(
                change,
                widened(change, options.cut, generator, tree),
                options.cut,
                instruction="",
                language=source.language,
                kind="release",
                source=name,
            )
            if pair is not None:
                yield pair
            if generator.random() < options.no_op_share / (1 - options.no_op_share):
                no_op = untouched(change.lines, options, generator, tree=tree, language=source.language, source=name)
                if no_op is not None:
                    yield no_op


def worth_learning(changes: Sequence[Change], refusals: Refusals) -> list[Change]:
    kept = []
    for change in changes:
        if reason := change_refusal(change):
            refusals[f"change: {reason}"] += 1
        else:
            kept.append(change)
    return kept


def accepted_tree(source: SourceFile, refusals: Refusals) -> Tree | None:
    """The syntax of a file whose changes may be used; None for others, which are counted."""
    reason = file_refusal(source)
    tree = parse(source.text.encode(), source.language) if reason is None else None
    if reason is None and (tree is None or tree.root_node.has_error):
        reason = "does not parse"
    if reason is not None:
        refusals[f"file: {reason}"] += 1
        return None
    return tree


def _pairs_of_file(
    file: CommittedFile,
    repository: str,
    most: int,
    earlier: Sequence[str],
    options: EditOptions,
    refusals: Refusals,
    generator: random.Random,
) -> Iterator[EditPair]:
    changes = worth_learning(file.changes, refusals)
    source = SourceFile(path=file.path, language=file.language, text=file.text)
    tree = accepted_tree(source, refusals) if changes and most > 0 else None
    if tree is None:
        return
    name = f"{repository}@{file.commit[:12]}:{file.path}"
    for change in generator.sample(changes, min(most, len(changes))):
        told = generator.random() >= options.empty_instruction
        pair = cut(
            change,
            widened(change, options.cut, generator, tree),
            options.cut,
            instruction=file.subject if told else "",
            language=file.language,
            kind="commit",
            source=name,
        )
        if pair is not None:
            yield pair
    if generator.random() < PAIRS_OF_A_FILE * options.no_op_share / (1 - options.no_op_share):
        other = generator.choice(earlier) if earlier and generator.random() < ANOTHER_SUBJECT else ""
        no_op = untouched(
            changes[0].lines,
            options,
            generator,
            tree=tree,
            language=file.language,
            source=name,
            instruction=other,
            label="another subject" if other else "nothing asked",
        )
        if no_op is not None:
            yield no_op
