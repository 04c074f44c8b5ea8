"""The faults that are put into JavaScript and TypeScript."""

from __future__ import annotations

from tree_sitter import Node

from .fault_makers import (
    SHARED_OPERATORS,
    Words,
    deleted_line,
    inside,
    misspelled_name,
    on,
    replaced,
    swap_token,
    swap_whole,
    text_of,
    unclosed,
    used_but,
    wrong_name,
)
from .faults import Catalogue, Edit, Surroundings, kind
from .shared_faults import Vocabulary, shared_faults

OPERATORS: Words = {
    **SHARED_OPERATORS,
    b"===": (b"!==", b"=="),
    b"!==": (b"===",),
    b"==": (b"!=",),
    b"!=": (b"==",),
    b"&&": (b"||",),
    b"||": (b"&&",),
    b"??": (b"&&",),
    b"*": (b"/",),
    b"/": (b"*",),
    b"%": (b"/",),
}
METHODS: Words = {
    b"push": (b"concat", b"unshift", b"append"),
    b"pop": (b"shift",),
    b"shift": (b"unshift", b"pop"),
    b"map": (b"forEach", b"filter"),
    b"forEach": (b"map",),
    b"filter": (b"find", b"map"),
    b"some": (b"every",),
    b"every": (b"some",),
    b"slice": (b"splice",),
    b"indexOf": (b"includes", b"lastIndexOf"),
    b"startsWith": (b"endsWith",),
    b"endsWith": (b"startsWith",),
    b"min": (b"max",),
    b"max": (b"min",),
    b"keys": (b"values", b"entries"),
    b"values": (b"keys", b"entries"),
    b"entries": (b"keys", b"values"),
    b"floor": (b"ceil",),
    b"ceil": (b"floor",),
    b"call": (b"apply", b"bind"),
    b"length": (b"size",),
    b"toLowerCase": (b"toUpperCase",),
}
CONSTANTS: Words = {
    b"true": (b"false", b"True"),
    b"false": (b"true", b"False"),
    b"null": (b"undefined", b"None"),
    b"undefined": (b"null",),
}
BRACKETS = ("arguments", "formal_parameters", "array", "object", "parenthesized_expression", "statement_block")
NO_NAMES = (b"undefined", b"NaN")


def _template_as_string(node: Node, around: Surroundings) -> Edit | None:
    code = text_of(node, around)
    plain = b"${" in code and not any(mark in code for mark in (b"\n", b'"', b"'"))
    return replaced(node, b"'" + code[1:-1] + b"'") if plain else None


def _constant_binding(node: Node, around: Surroundings) -> Edit | None:
    code = text_of(node, around)
    return (node.start_byte, node.start_byte + 3, b"const") if code.startswith(b"let ") else None


JAVASCRIPT = Vocabulary(
    arguments="arguments",
    awaited="await_expression",
    comparison="binary_expression",
    condition_parents=("parenthesized_expression",),
    conditionals=("if_statement", "while_statement"),
    constants=CONSTANTS,
    comma_lists=("arguments", "array", "object", "formal_parameters"),
    brackets=BRACKETS,
    member="member_expression",
    member_name="property",
    negation=b"!",
    number="number",
    owner=b"this",
    not_misspelled=NO_NAMES,
    simple_statements=("expression_statement", "return_statement", "throw_statement", "lexical_declaration"),
)
IS_CALLED = inside("member_expression")
JAVASCRIPT_FAULTS: Catalogue = {
    **shared_faults(JAVASCRIPT),
    "wrong-operator": kind("binary_expression", "augmented_assignment_expression", make=swap_token(OPERATORS)),
    "wrong-method": kind("property_identifier", make=on(IS_CALLED, swap_whole(METHODS))),
    "wrong-name": kind("identifier", make=on(used_but(NO_NAMES), wrong_name)),
    "misspelled-attribute": kind("property_identifier", make=on(IS_CALLED, misspelled_name)),
    "missing-import": kind("import_statement", make=deleted_line),
    "unclosed-string": kind("string", "template_string", make=unclosed(b'"', b"'", b"`")),
    "string-prefix": kind("template_string", make=_template_as_string),
    "constant-binding": kind("lexical_declaration", make=_constant_binding),
}
