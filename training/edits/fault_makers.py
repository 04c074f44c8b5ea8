"""Ways to make a fault that several languages share; each takes a node and gives the bytes to replace, or None."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

from tree_sitter import Node

from .faults import Edit, Make, Surroundings

CLOSING = (b")", b"]", b"}")
Words = Mapping[bytes, tuple[bytes, ...]]
"""From a word to what is written by mistake in its place."""
SHARED_OPERATORS: Words = {
    b"<": (b"<=", b">"),
    b"<=": (b"<", b">="),
    b">": (b">=", b"<"),
    b">=": (b">", b"<="),
    b"+": (b"-",),
    b"-": (b"+",),
    b"+=": (b"-=", b"="),
    b"-=": (b"+=",),
}
LEAVES = ("return_statement", "raise_statement", "throw_statement", "continue_statement", "break_statement")


def swap_token(tokens: Words) -> Make:
    """Another operator or word in place of a direct child that is one of `tokens`."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        for child in node.children:
            others = tokens.get(text_of(child, around))
            if others and (not child.is_named or child.child_count == 0):
                return replaced(child, around.generator.choice(others))
        return None

    return make


def swap_whole(texts: Words) -> Make:
    """Another word in place of the whole node."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        others = texts.get(text_of(node, around))
        return replaced(node, around.generator.choice(others)) if others else None

    return make


def off_by_one(node: Node, around: Surroundings) -> Edit | None:
    """A small whole number one too high or one too low, where numbers count something."""
    digits = text_of(node, around)
    if not digits.isdigit() or len(digits) > 3 or node.parent is None:
        return None
    value = int(digits)
    other = value + around.generator.choice((-1, 1)) if value else 1
    return replaced(node, str(other).encode())


def swapped_arguments(node: Node, around: Surroundings) -> Edit | None:
    """Two neighbours of a list of arguments in the wrong order."""
    plain = [child for child in node.named_children if child.type not in ("comment", "keyword_argument")]
    if len(plain) < 2:
        return None
    at = around.generator.randrange(len(plain) - 1)
    first, second = plain[at], plain[at + 1]
    between = around.source[first.end_byte : second.start_byte]
    if b"\n" in around.source[first.start_byte : second.end_byte]:
        return None
    return first.start_byte, second.end_byte, text_of(second, around) + between + text_of(first, around)


def wrong_name(node: Node, around: Surroundings) -> Edit | None:
    """Another name of the same function."""
    name = text_of(node, around)
    others = [other for other in around.names if other != name and other not in (b"self", b"cls", b"this")]
    if not others or not is_used(node):
        return None
    return replaced(node, around.generator.choice(others))


def misspelled_name(node: Node, around: Surroundings) -> Edit | None:
    """A slip of the fingers in a name that is used."""
    name = text_of(node, around).decode(errors="replace")
    if len(name) < 4 or not name.isascii() or not is_used(node):
        return None
    at = around.generator.randrange(1, len(name) - 1)
    slips = [
        name[:at] + name[at + 1] + name[at] + name[at + 2 :],
        name[:at] + name[at + 1 :],
        name[:at] + name[at] + name[at:],
        name + "s" if not name.endswith("s") else name[:-1],
    ]
    slip = around.generator.choice(slips)
    return replaced(node, slip.encode()) if slip != name else None


def deleted_line(node: Node, around: Surroundings) -> Edit | None:
    """The whole lines of a statement gone; a block keeps at least one statement."""
    start, end = whole_lines(node, around.source)
    alone = node.parent is None or sum(child.type != "comment" for child in node.parent.named_children) < 2
    own_lines = around.source[start : node.start_byte].strip() == around.source[node.end_byte : end].strip() == b""
    return (start, end, b"") if own_lines and not alone and node.end_point.row - node.start_point.row < 6 else None


def without_word(word: bytes) -> Make:
    """`word` and the space behind it gone from the front of a node."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        code = text_of(node, around)
        rest = code[len(word) :].lstrip()
        if not code.startswith(word + b" ") or not rest or rest == b";":
            return None
        return node.start_byte, node.end_byte - len(rest), b""

    return make


def unclosed(*closing: bytes) -> Make:
    """The last token of a node gone, when it is one of `closing`."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        last = _last(node, around, closing)
        return without(last) if last is not None else None

    return make


unclosed_bracket = unclosed(*CLOSING)


def extra_bracket(node: Node, around: Surroundings) -> Edit | None:
    last = _last(node, around, CLOSING)
    return (last.end_byte, last.end_byte, text_of(last, around)) if last is not None else None


def _last(node: Node, around: Surroundings, closing: Container[bytes]) -> Node | None:
    last = node.children[-1] if node.children else None
    return last if last is not None and text_of(last, around) in closing else None


def missing_comma(node: Node, around: Surroundings) -> Edit | None:
    commas = [child for child in node.children[:-2] if child.type == ","]
    if not commas:
        return None
    return without(around.generator.choice(commas))


def doubled_line(node: Node, around: Surroundings) -> Edit | None:
    """A statement of one line twice."""
    start, end = whole_lines(node, around.source)
    if node.start_point.row != node.end_point.row or around.source[start : node.start_byte].strip():
        return None
    return end, end, around.source[start:end]


def negated(prefix: bytes, field: str = "condition") -> Make:
    """The opposite condition."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        condition = node.child_by_field_name(field)
        if condition is None:
            return None
        start, end, code = condition.start_byte, condition.end_byte, text_of(condition, around)
        if code.startswith(b"("):
            start, end, code = start + 1, end - 1, code[1:-1]
        if code.startswith(prefix):
            return start, end, code[len(prefix) :]
        simple = all(word not in code for word in (b" and ", b" or ", b"&&", b"||", b"\n", b" if ", b"=", b"<", b">"))
        return (start, end, prefix + code) if simple else None

    return make


def missing_owner(owner: bytes, field: str) -> Make:
    """`owner` with its dot gone from the front of the member that `field` names."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        member = node.child_by_field_name(field)
        if member is None or not text_of(node, around).startswith(owner + b"."):
            return None
        return node.start_byte, member.start_byte, b""

    return make


def assignment_in(*parents: str) -> Make:
    """One equals sign in a comparison that stands directly in one of `parents`."""

    def make(node: Node, around: Surroundings) -> Edit | None:
        equals = [child for child in node.children if child.type in ("==", "===")]
        inside = node.parent is not None and node.parent.type in parents
        return replaced(equals[0], b"=") if equals and inside else None

    return make


def is_guard(node: Node, around: Surroundings) -> bool:
    """An `if` without `else` whose body only leaves."""
    body = node.child_by_field_name("consequence")
    if body is None or node.child_by_field_name("alternative") is not None:
        return False
    inside = body.named_children if body.type in ("block", "statement_block") else [body]
    return len(inside) == 1 and inside[0].type in LEAVES


def is_used(node: Node) -> bool:
    """False for the name in a definition, an import, a parameter list or a keyword."""
    parent = node.parent
    if parent is None or parent.type.endswith(("definition", "declaration", "declarator", "parameter", "parameters")):
        return False
    if parent.type in ("keyword_argument", "dotted_name", "aliased_import", "import_specifier", "export_specifier"):
        return parent.type == "keyword_argument" and parent.child_by_field_name("value") == node
    return parent.child_by_field_name("attribute") != node and parent.child_by_field_name("left") != node


def used_but(words: Container[bytes]) -> Callable[[Node, Surroundings], bool]:
    """Whether a name is used and is none of `words`."""
    return lambda node, around: is_used(node) and text_of(node, around) not in words


def whole_lines(node: Node, source: bytes) -> tuple[int, int]:
    """Bytes from the start of the first line of a node to behind the newline of its last."""
    end = source.find(b"\n", node.end_byte)
    return source.rfind(b"\n", 0, node.start_byte) + 1, len(source) if end < 0 else end + 1


def replaced(node: Node, text: bytes) -> Edit:
    return node.start_byte, node.end_byte, text


def without(node: Node) -> Edit:
    return replaced(node, b"")


def text_of(node: Node, around: Surroundings) -> bytes:
    return around.source[node.start_byte : node.end_byte]


def on(test: Callable[[Node, Surroundings], bool], make: Make) -> Make:
    """`make` only where `test` holds."""
    return lambda node, around: make(node, around) if test(node, around) else None


def inside(*parents: str) -> Callable[[Node, Surroundings], bool]:
    """Whether a node stands directly in one of `parents`."""
    return lambda node, around: node.parent is not None and node.parent.type in parents
