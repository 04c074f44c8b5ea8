"""The faults that are put into Python."""

from __future__ import annotations

import re

from tree_sitter import Node

from .fault_makers import (
    SHARED_OPERATORS,
    Words,
    deleted_line,
    inside,
    on,
    replaced,
    swap_token,
    swap_whole,
    text_of,
    unclosed,
    whole_lines,
    without,
    wrong_name,
)
from .faults import Catalogue, Edit, Surroundings, kind
from .shared_faults import Vocabulary, shared_faults

COMPARISONS: Words = {
    **SHARED_OPERATORS,
    b"==": (b"!=", b"is"),
    b"!=": (b"==",),
    b"in": (b"not in",),
    b"not in": (b"in",),
    b"is": (b"is not", b"=="),
    b"is not": (b"is", b"!="),
}
ARITHMETIC: Words = {
    **SHARED_OPERATORS,
    b"*": (b"/", b"+", b"**"),
    b"/": (b"//", b"*"),
    b"//": (b"/",),
    b"%": (b"//",),
    b"&": (b"|",),
    b"|": (b"&",),
    b"and": (b"or",),
    b"or": (b"and",),
}
METHODS: Words = {
    b"append": (b"extend", b"add", b"push"),
    b"extend": (b"append",),
    b"add": (b"append", b"update"),
    b"startswith": (b"endswith",),
    b"endswith": (b"startswith",),
    b"keys": (b"values", b"items"),
    b"values": (b"keys", b"items"),
    b"items": (b"keys", b"values"),
    b"lstrip": (b"rstrip",),
    b"rstrip": (b"lstrip",),
    b"lower": (b"upper",),
    b"upper": (b"lower",),
    b"split": (b"rsplit", b"strip"),
    b"find": (b"rfind", b"index"),
    b"get": (b"pop", b"setdefault"),
    b"pop": (b"get", b"remove"),
    b"update": (b"add", b"setdefault"),
    b"encode": (b"decode",),
    b"decode": (b"encode",),
    b"read": (b"readline", b"write"),
    b"min": (b"max",),
    b"max": (b"min",),
    b"any": (b"all",),
    b"all": (b"any",),
    b"isinstance": (b"issubclass",),
    b"getattr": (b"hasattr",),
    b"list": (b"set", b"tuple"),
    b"sorted": (b"reversed",),
}
CONSTANTS: Words = {
    b"True": (b"False", b"true", b"None"),
    b"False": (b"True", b"false", b"None"),
    b"None": (b"False", b"null", b"0"),
}
UNUSED_MODULES = (
    "os",
    "re",
    "sys",
    "json",
    "time",
    "math",
    "itertools",
    "functools",
    "collections",
    "logging",
    "typing",
)
COLON = ("if_statement", "elif_clause", "else_clause", "for_statement", "while_statement", "with_statement")
BLOCKS = (*COLON, "function_definition", "class_definition", "try_statement", "except_clause")
BRACKETS = ("argument_list", "parameters", "list", "dictionary", "tuple", "parenthesized_expression", "subscript")
CONDITIONAL = ("if_statement", "elif_clause", "while_statement")
IMPORTS = ("import_statement", "import_from_statement")
SIMPLE = ("expression_statement", "return_statement", "raise_statement", "assert_statement")


def _missing_self_parameter(node: Node, around: Surroundings) -> Edit | None:
    match = re.match(rb"\((?:self|cls)(?:, *|(?=\)))", text_of(node, around))
    return (node.start_byte + 1, node.start_byte + match.end(), b"") if match else None


def _missing_colon(node: Node, around: Surroundings) -> Edit | None:
    for child in node.children:
        if child.type == ":":
            return without(child)
    return None


def _is_assignment(node: Node, around: Surroundings) -> bool:
    return bool(node.named_children) and node.named_children[0].type in ("assignment", "augmented_assignment")


def _wrong_indentation(node: Node, around: Surroundings) -> Edit | None:
    start, _ = whole_lines(node, around.source)
    width = node.start_byte - start
    if around.source[start : node.start_byte].strip(b" ") or not width:
        return None
    width = max(0, width + around.generator.choice((-4, -1, 1, 4)))
    return start, node.start_byte, b" " * width


def _part_of_import(node: Node, around: Surroundings) -> Edit | None:
    """One imported name gone, or the whole import when it brings only one."""
    names = [child for child in node.children_by_field_name("name")]
    if node.type == "import_statement" or len(names) < 2:
        return deleted_line(node, around)
    gone = around.generator.randrange(len(names))
    start, end = names[gone].start_byte, names[gone].end_byte
    if gone:
        start = names[gone - 1].end_byte
    else:
        end = names[1].start_byte
    return start, end, b""


def _unused_import(node: Node, around: Surroundings) -> Edit | None:
    """An import more, of a module that the file does not name."""
    module = around.generator.choice(UNUSED_MODULES).encode()
    if node.start_point.column or re.search(rb"\b" + module + rb"\b", around.source):
        return None
    start, _ = whole_lines(node, around.source)
    return start, start, b"import " + module + b"\n"


def _misspelled_target(node: Node, around: Surroundings) -> Edit | None:
    """The name that is assigned to is not the one that is read later."""
    left = node.child_by_field_name("left")
    if left is None or left.type != "identifier" or around.source.count(text_of(left, around)) < 2:
        return None
    name = text_of(left, around)
    slip = name + b"_" if len(name) < 4 else name[:-2] + name[-1:]
    return replaced(left, slip)


def _unused_variable(node: Node, around: Surroundings) -> Edit | None:
    """The result of a call kept in a name that nobody reads."""
    if not node.named_children or node.named_children[0].type != "call" or not around.names:
        return None
    name = around.generator.choice((b"result", b"value", b"ret", b"response", b"unused", b"data"))
    return None if name in around.names else (node.start_byte, node.start_byte, name + b" = ")


def _comparison_style(node: Node, around: Surroundings) -> Edit | None:
    """`is None` and `not in` written the way that linters object to."""
    code = text_of(node, around)
    for right, wrong in ((b" is None", b" == None"), (b" is not None", b" != None"), (b" is True", b" == True")):
        if code.endswith(right):
            return node.end_byte - len(right), node.end_byte, wrong
    left, middle, right = code.partition(b" not in ")
    return (node.start_byte, node.end_byte, b"not " + left + b" in " + right) if middle else None


def _mutable_default(node: Node, around: Surroundings) -> Edit | None:
    value = node.child_by_field_name("value")
    if value is None or value.type != "none":
        return None
    return replaced(value, around.generator.choice((b"[]", b"{}")))


def _bare_except(node: Node, around: Surroundings) -> Edit | None:
    body = next((child for child in node.children if child.type == ":"), None)
    plain = body is not None and node.named_child_count == 2 and node.named_children[0].type == "identifier"
    return (node.start_byte, body.start_byte, b"except") if plain and body is not None else None


def _string_prefix(node: Node, around: Surroundings) -> Edit | None:
    """An `f` too few or too many."""
    code = text_of(node, around)
    if code.startswith((b'f"', b"f'")) and any(child.type == "interpolation" for child in node.children):
        return node.start_byte, node.start_byte + 1, b""
    many = node.parent is None or node.parent.type in ("expression_statement", "concatenated_string")
    plain = code.startswith((b'"', b"'")) and not many and b"{" not in code and not code.startswith((b'"""', b"'''"))
    return (node.start_byte, node.start_byte, b"f") if plain else None


def _missing_call(node: Node, around: Surroundings) -> Edit | None:
    arguments = node.child_by_field_name("arguments")
    if arguments is None or arguments.named_child_count or text_of(arguments, around) != b"()":
        return None
    return without(arguments)


def _is_attribute(node: Node, around: Surroundings) -> bool:
    return node.parent is not None and node.parent.child_by_field_name("attribute") == node


def _misspelled_attribute(node: Node, around: Surroundings) -> Edit | None:
    name = text_of(node, around)
    if len(name) < 5:
        return None
    at = around.generator.randrange(1, len(name) - 2)
    return node.start_byte + at, node.start_byte + at + 2, name[at + 1 : at + 2] + name[at : at + 1]


PYTHON = Vocabulary(
    arguments="argument_list",
    awaited="await",
    comparison="comparison_operator",
    condition_parents=CONDITIONAL,
    conditionals=CONDITIONAL,
    constants=CONSTANTS,
    comma_lists=("argument_list", "parameters", "list", "dictionary", "tuple"),
    brackets=BRACKETS,
    member="attribute",
    member_name="attribute",
    negation=b"not ",
    number="integer",
    owner=b"self",
    not_misspelled=(b"self", b"cls"),
    simple_statements=SIMPLE,
)
PYTHON_FAULTS: Catalogue = {
    **shared_faults(PYTHON),
    "wrong-comparison": kind("comparison_operator", make=swap_token(COMPARISONS)),
    "wrong-operator": kind("binary_operator", "boolean_operator", "augmented_assignment", make=swap_token(ARITHMETIC)),
    "wrong-method": kind("identifier", make=on(inside("attribute", "call"), swap_whole(METHODS))),
    "wrong-name": kind("identifier", make=wrong_name),
    "misspelled-attribute": kind("identifier", make=on(_is_attribute, _misspelled_attribute)),
    "misspelled-target": kind("assignment", make=_misspelled_target),
    "missing-self-parameter": kind("parameters", make=_missing_self_parameter),
    "missing-import": kind(*IMPORTS, make=_part_of_import),
    "missing-call": kind("call", make=_missing_call),
    "missing-colon": kind(*BLOCKS, make=_missing_colon),
    "deleted-assignment": kind("expression_statement", make=on(_is_assignment, deleted_line)),
    "unclosed-string": kind("string", make=unclosed(b'"', b"'")),
    "string-prefix": kind("string", make=_string_prefix),
    "wrong-indentation": kind(*SIMPLE, make=_wrong_indentation),
    "unused-import": kind(*IMPORTS, make=_unused_import),
    "unused-variable": kind("expression_statement", make=_unused_variable),
    "comparison-style": kind("comparison_operator", make=_comparison_style),
    "mutable-default": kind("default_parameter", "typed_default_parameter", make=_mutable_default),
    "bare-except": kind("except_clause", make=_bare_except),
}
