"""Places in real code where the suites ask for completions."""

from __future__ import annotations

from pathlib import Path

from diffill.lsp_server.completion import Question, ask
from diffill.lsp_server.documents import Document
from diffill.model.code.languages import language_of
from diffill.model.request import DecodeRequest, Mode, pack_ids
from diffill.model.tokenizer import Tokenizer
from diffill.training.evaluation.holes import Hole, punch_holes

from .place import Place

BEFORE_TOKENS = 256
"""Of the code before a place, for long answers."""
SPARE = 3
"""Of so many places, one at least is worth a completion."""


def document_at(hole: Hole, typed: str) -> tuple[Document, int]:
    """The file while the hole's line holds `typed`, and the cursor behind it."""
    language = language_of(Path(hole.name.rsplit(":", 1)[0]))
    text = hole.prefix + typed + hole.suffix
    return Document(uri=f"bench:{hole.name}", language=language, version=0, text=text), len(hole.prefix) + len(typed)


def question_at(hole: Hole, typed: str, tokenizer: Tokenizer, mode: Mode) -> Question | None:
    """What the server would ask there."""
    document, offset = document_at(hole, typed)
    return ask(document.window(offset), offset, tokenizer=tokenizer, mode=mode, invoked=True)


def requests_at(hole: Hole, tokenizer: Tokenizer, mode: Mode) -> tuple[DecodeRequest, DecodeRequest] | None:
    """The request at an empty line, and the one a character later; None where one of them is not asked."""
    questions = [question_at(hole, typed, tokenizer, mode) for typed in ("", hole.missing[:1])]
    first, second = (question.request if question else None for question in questions)
    return (first, second) if first and second else None


def place_at(hole: Hole, tokenizer: Tokenizer) -> Place:
    """The hole as requests.

    Raises:
        ValueError: the server would not ask there; those of `places` are not such.
    """
    pair = requests_at(hole, tokenizer, "ar")
    if pair is None:
        raise ValueError(f"place: at {hole.name} nothing is asked")
    cold, warm = pair
    return Place(name=hole.name, cold=cold, warm=warm, before=pack_ids(tokenizer.encode(hole.prefix)[-BEFORE_TOKENS:]))


def places(code: Path, *, count: int, seed: int, tokenizer: Tokenizer) -> list[Hole]:
    """`count` seeded places below a directory where the server would ask, before and after one character.

    Raises:
        ValueError: it is missing, or there is not a single one.
    """
    if not code.is_dir():
        raise ValueError(f"code: {code} is not a directory")
    punched = punch_holes(code, count=SPARE * count, seed=seed)
    asked = [hole for hole in punched if requests_at(hole, tokenizer, "ar")][:count]
    if not asked:
        raise ValueError(f"code: {code} has no place to complete")
    return asked
