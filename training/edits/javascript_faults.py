"""The faults that are put into JavaScript and TypeScript."""

from __future__ import annotations

from tree_sitter import Node

from .fault_makers import (
    assignment_in,
    deleted_line,
    doubled_line,
    extra_bracket,
    is_guard,
    is_used,
    missing_comma,
    missing_owner,
    misspelled_name,
    negated,
    off_by_one,
    on,
    swap_token,
    swap_whole,
    swapped_arguments,
    text_of,
    unclosed_bracket,
    without_word,
    wrong_name,
)
from .faults import Catalogue, Edit, Surroundings, kind

OPERATORS = {
    b"===": (b"!==", b"=="),
    b"!==": (b"===",),
    b"==": (b"!=",),
    b"!=": (b"==",),
    b"<": (b"<=", b">"),
    b"<=": (b"<", b">="),
    b">": (b">=", b"<"),
    b">=": (b">", b"<="),
    b"&&": (b"||",),
    b"||": (b"&&",),
    b"??": (b"&&",),
    b"+": (b"-",),
    b"-": (b"+",),
    b"*": (b"/",),
    b"/": (b"*",),
    b"%": (b"/",),
    b"+=": (b"-=", b"="),
    b"-=": (b"+=",),
}
METHODS = {
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
CONSTANTS = {
    b"true": (b"false", b"True"),
    b"false": (b"true", b"False"),
    b"null": (b"undefined", b"None"),
    b"undefined": (b"null",),
}
BRACKETS = ("arguments", "formal_parameters", "array", "object", "parenthesized_expression", "statement_block")
SIMPLE = ("expression_statement", "return_statement", "throw_statement", "lexical_declaration")


def _unclosed_string(node: Node, around: Surroundings) -> Edit | None:
    last = node.children[-1] if node.children else None
    return (last.start_byte, last.end_byte, b"") if last is not None and last.type in ('"', "'", "`") else None


def _template_as_string(node: Node, around: Surroundings) -> Edit | None:
    code = text_of(node, around)
    plain = b"${" in code and not any(mark in code for mark in (b"\n", b'"', b"'"))
    return (node.start_byte, node.end_byte, b"'" + code[1:-1] + b"'") if plain else None


def _constant_binding(node: Node, around: Surroundings) -> Edit | None:
    code = text_of(node, around)
    return (node.start_byte, node.start_byte + 3, b"const") if code.startswith(b"let ") else None


def _is_called(node: Node, around: Surroundings) -> bool:
    return node.parent is not None and node.parent.type == "member_expression"


def _is_expression(node: Node, around: Surroundings) -> bool:
    return is_used(node) and text_of(node, around) not in (b"undefined", b"NaN")


JAVASCRIPT_FAULTS: Catalogue = {
    "wrong-operator": kind("binary_expression", "augmented_assignment_expression", make=swap_token(OPERATORS)),
    "wrong-method": kind("property_identifier", make=on(_is_called, swap_whole(METHODS))),
    "wrong-constant": kind("true", "false", "null", "undefined", make=swap_whole(CONSTANTS)),
    "wrong-name": kind("identifier", make=on(_is_expression, wrong_name)),
    "misspelled-name": kind("identifier", make=on(_is_expression, misspelled_name)),
    "misspelled-attribute": kind("property_identifier", make=on(_is_called, misspelled_name)),
    "off-by-one": kind("number", make=off_by_one),
    "swapped-arguments": kind("arguments", make=swapped_arguments),
    "negated-condition": kind("if_statement", "while_statement", make=negated(b"!")),
    "missing-return": kind("return_statement", make=without_word(b"return")),
    "missing-await": kind("await_expression", make=without_word(b"await")),
    "missing-this": kind("member_expression", make=missing_owner(b"this", "property")),
    "missing-import": kind("import_statement", make=deleted_line),
    "missing-comma": kind("arguments", "array", "object", "formal_parameters", make=missing_comma),
    "deleted-guard": kind("if_statement", make=on(is_guard, deleted_line)),
    "deleted-statement": kind(*SIMPLE, make=deleted_line),
    "doubled-line": kind("expression_statement", "return_statement", make=doubled_line),
    "unclosed-bracket": kind(*BRACKETS, make=unclosed_bracket),
    "extra-bracket": kind(*BRACKETS, make=extra_bracket),
    "unclosed-string": kind("string", "template_string", make=_unclosed_string),
    "string-prefix": kind("template_string", make=_template_as_string),
    "assignment-in-condition": kind("binary_expression", make=assignment_in("parenthesized_expression")),
    "constant-binding": kind("lexical_declaration", make=_constant_binding),
}
