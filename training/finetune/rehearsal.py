"""Code of others among the rows of a run, so that tuning on a team's code does not forget how others write.

Rows of the kind that the base was trained on, learned by the same loss: a few of them keep most of what a model knows
(arXiv 2205.12393; 2403.08763 for further pretraining). They are Python whatever the team writes.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from diffill.model.tokenizer import Tokenizer

from ..corpus import Document
from ..corpus.benchmarks import BenchmarkWindows, words_of
from ..corpus.quality import strip_licence_header
from ..examples import Example, ExampleConfig, examples_of
from ..packing import Rows, pack, take
from .selection import Selection, file_refusal
from .standard_library import LICENCE, NAME, measured_windows, package_files, package_text

REHEARSED = "-rehearsed"
"""Ends the name of a shard of such rows, beside the shard of the team's."""


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Files of the standard library's packages."""

    documents: Sequence[Document] = ()

    @property
    def characters(self) -> int:
        return sum(len(document.text) for document in self.documents)

    def rows(
        self, count: int, length: int, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random
    ) -> Rows:
        """`count` rows of fresh examples of some of the files; none without a file."""
        examples: list[Example] = []
        missing = count * length if self.documents else 0
        stream = self._examples(tokenizer, config, generator)
        while missing > 0:
            examples.append(next(stream))
            missing -= len(examples[-1].tokens)
        return take(pack(examples, length), slice(0, count))

    def _examples(self, tokenizer: Tokenizer, config: ExampleConfig, generator: random.Random) -> Iterator[Example]:
        """Without end."""
        while True:
            for document in generator.sample(self.documents, len(self.documents)):
                yield from examples_of(document, tokenizer, config, generator)


def rehearsal(characters: float, *, kept_out: Sequence[BenchmarkWindows]) -> Rehearsal:
    """Files in the order of a hash of their paths until so much is there, or all.

    Args:
        kept_out: text that measures or is learned already, besides the library's own modules; files that hold much of
            it are left out.
    """
    licensed = Selection(licence=LICENCE).licensed
    documents: list[Document] = []
    taken = 0
    for path in sorted(package_files(), key=_sampling_order):
        if taken >= characters:
            break
        text = package_text(path)
        if file_refusal(path, text, licensed) is not None:
            continue
        document = Document(
            text=strip_licence_header(text), language="python", path=str(path), package=NAME, licence=LICENCE
        )
        words = words_of(document.text)
        if not any(windows.contaminate(words) for windows in (measured_windows(), *kept_out)):
            documents.append(document)
            taken += len(document.text)
    return Rehearsal(documents=sorted(documents, key=lambda document: document.path))


def _sampling_order(path: PurePosixPath) -> bytes:
    return hashlib.blake2b(str(path).encode()).digest()
