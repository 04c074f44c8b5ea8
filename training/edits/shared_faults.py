"""The faults that are made the same way in every language, over what each language calls its nodes."""

from __future__ import annotations

from dataclasses import dataclass

from .fault_makers import (
    Words,
    assignment_in,
    deleted_line,
    doubled_line,
    extra_bracket,
    is_guard,
    missing_comma,
    missing_owner,
    misspelled_name,
    negated,
    off_by_one,
    on,
    swap_whole,
    swapped_arguments,
    unclosed_bracket,
    used_but,
    without_word,
)
from .faults import Catalogue, kind


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Types of syntax nodes, and words, of one language."""

    arguments: str
    awaited: str
    comparison: str
    condition_parents: tuple[str, ...]
    """What a comparison stands in directly when it decides."""
    conditionals: tuple[str, ...]
    constants: Words
    """Constants, which are nodes of their own name, and what is written in their place."""
    comma_lists: tuple[str, ...]
    brackets: tuple[str, ...]
    member: str
    member_name: str
    """The field of `member` that holds the name behind the dot."""
    negation: bytes
    number: str
    owner: bytes
    """`self`, `this`."""
    not_misspelled: tuple[bytes, ...]
    """Names that nobody mistypes unseen."""
    simple_statements: tuple[str, ...]


def shared_faults(language: Vocabulary) -> Catalogue:
    owner = language.owner
    return {
        "assignment-in-condition": kind(language.comparison, make=assignment_in(*language.condition_parents)),
        "deleted-guard": kind("if_statement", make=on(is_guard, deleted_line)),
        "deleted-statement": kind(*language.simple_statements, make=deleted_line),
        "doubled-line": kind("expression_statement", "return_statement", make=doubled_line),
        "extra-bracket": kind(*language.brackets, make=extra_bracket),
        "missing-await": kind(language.awaited, make=without_word(b"await")),
        "missing-comma": kind(*language.comma_lists, make=missing_comma),
        f"missing-{owner.decode()}": kind(language.member, make=missing_owner(owner, language.member_name)),
        "missing-return": kind("return_statement", make=without_word(b"return")),
        "misspelled-name": kind("identifier", make=on(used_but(language.not_misspelled), misspelled_name)),
        "negated-condition": kind(*language.conditionals, make=negated(language.negation)),
        "off-by-one": kind(language.number, make=off_by_one),
        "swapped-arguments": kind(language.arguments, make=swapped_arguments),
        "unclosed-bracket": kind(*language.brackets, make=unclosed_bracket),
        "wrong-constant": kind(
            *(word.decode().lower() for word in language.constants), make=swap_whole(language.constants)
        ),
    }
