"""Which changes are worth learning and which pairs may be kept, with the reason for every refusal."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

from diffill.model.secrets import holds_secret

from ..corpus.archives import SourceFile
from ..corpus.benchmarks import BenchmarkWindows, words_of
from ..corpus.quality import imports_held_out, is_test, refusal_by_path, refusal_by_text
from .change import Change
from .pair import EditPair

COMMENT = re.compile(r"^\s*(?:#|//|/?\*).*$", re.MULTILINE)
VERSION = re.compile(r"^\s*(?:__version__|version|VERSION)\b.*=.*\d", re.MULTILINE)
PUNCTUATION_OF_STYLE = re.compile(r"[\s\"'`();]|,(?=\s*[)\]}])")
"""What formatters change: spacing, quotes, brackets around expressions, trailing commas, semicolons."""
OLD_PYTHON = re.compile(r"^\s*(?:print\s+[\w\"'%]|exec\s+\w|raise \w+, |except [\w.()]+, \w+:)", re.MULTILINE)
"""What the grammar still takes and the language no longer does; far cheaper than to compile every version of a file."""
MAX_LINES = 24
LONGEST_LINE = 400
MAX_ADDED_LINES = 10
"""Nobody can foresee more new lines than that from the lines around them."""


def change_refusal(change: Change) -> str | None:
    """The reason a change is not an edit that could be learnt, or None."""
    before, after = "".join(change.before), "".join(change.lines[change.start : change.end])
    if max(len(change.before), change.end - change.start) > MAX_LINES:
        return "long change"
    if change.end - change.start > len(change.before) + MAX_ADDED_LINES:
        return "long insertion"
    if PUNCTUATION_OF_STYLE.sub("", before) == PUNCTUATION_OF_STYLE.sub("", after):
        return "formatting only"
    if COMMENT.sub("", before).split() == COMMENT.sub("", after).split():
        return "comments only"
    if sorted(before.split("\n")) == sorted(after.split("\n")):
        return "reordered lines"
    if VERSION.search(before) and VERSION.search(after):
        return "version number"
    return None


def file_refusal(source: SourceFile) -> str | None:
    """The reason the changes of a file stay out, or None: what the corpus asks of a file by itself, and no tests."""
    if reason := refusal_by_path(source) or ("tests" if is_test(source.path) else None):
        return reason
    if source.language == "python" and OLD_PYTHON.search(source.text):
        return "does not parse"
    return refusal_by_text(source.text)


class PairScreen:
    """Accepts a pair or says why not, by the rules of the corpus on all of its text."""

    def __init__(self, benchmark_windows: Path | None) -> None:
        self._windows = BenchmarkWindows(benchmark_windows)

    def refusal(self, pair: EditPair) -> str | None:
        """The reason `pair` stays out, or None."""
        if imports_held_out(_whole_text(pair)):
            return "imports a held-out package"
        if reason := pair_refusal(pair):
            return reason
        if self._windows.contaminate(words_of(pair.prefix + pair.after + pair.suffix)):
            return "benchmark text"
        return None


def pair_refusal(pair: EditPair) -> str | None:
    """The reason the text of a pair is not fit for anybody's training, or None."""
    text = _whole_text(pair)
    if holds_secret(text) or holds_secret(pair.instruction):
        return "secret"
    return "long lines" if max(map(len, text.split("\n"))) > LONGEST_LINE else None


def _whole_text(pair: EditPair) -> str:
    return pair.prefix + pair.before + pair.after + pair.suffix


def pair_key(pair: EditPair) -> bytes:
    """Equal for pairs that ask for the same change of the same text, wherever it stands."""
    return hashlib.blake2b(msgspec.msgpack.encode((pair.before, pair.after)), digest_size=16).digest()
