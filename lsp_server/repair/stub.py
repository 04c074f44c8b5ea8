"""A function whose body is still to be written, and the place where it belongs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffill.model.code.span import leading_space, line_start

from .places import FUNCTIONS, Place

if TYPE_CHECKING:
    from tree_sitter import Node

    from diffill.model.code.syntax import Syntax

_STUB = re.compile(
    r"(pass|\.\.\.|raise\s+NotImplementedError\b.*|throw\s+new\s+\w*(Error|Exception)\(.*\);?|todo!\(.*\);?"
    r"|unimplemented!\(.*\);?|panic\(.*\)|return;?)?",
    re.DOTALL,
)
_INDENTED = re.compile(r"^([ \t]+)\S", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Stub:
    """`text` is the document with an empty line where the body belongs, and `place` is there."""

    text: str
    place: Place


def looks_like_stub(line: str) -> bool:
    """Whether a line alone may be the stub of a body; cheap, and asked for every cursor position."""
    code = line.strip().removesuffix("}").rpartition("{")[2].strip()
    has_braces = re.search(r"\)[^{}]*\{\s*\}?\s*$", line) is not None
    return has_braces or (bool(code) and _STUB.fullmatch(code) is not None)


def stub_at(text: str, offset: int, syntax: Syntax | None) -> Stub | None:
    """The stub of the innermost function around `offset`; None when there is none, or a real body."""
    node = syntax.node_over(offset, offset) if syntax is not None else None
    while node is not None and (node.type not in FUNCTIONS or node.child_by_field_name("body") is None):
        node = node.parent
    body = node.child_by_field_name("body") if node is not None else None
    if syntax is None or node is None or body is None:
        return None
    statements = [child for child in body.named_children if child.type != "comment"]
    kept = statements[:1] if statements and _is_docstring(statements[0]) else []
    rest = statements[len(kept) :]
    start, end = syntax.start_of(body), syntax.end_of(body)
    is_braced = text[start : start + 1] == "{"
    first = syntax.start_of(rest[0]) if rest else syntax.end_of(kept[0]) if kept else start + is_braced
    last = syntax.end_of(rest[-1]) if rest else end - is_braced
    if not _STUB.fullmatch(text[first:last].strip()):
        return None
    header = leading_space(text[line_start(text, syntax.start_of(node)) :].split("\n", 1)[0])
    indentation = header + _unit(text, header)
    line_prefix = text[line_start(text, first) : first]
    opening = "" if rest and not line_prefix.strip() else "\n" + indentation
    closing = "\n" + header if is_braced and "\n" not in text[last:end] else ""
    head = text[:first].rstrip(" \t") if opening else text[:first]
    tail = text[last:] if not is_braced else closing + text[last:].lstrip(" \t") if closing else text[last:]
    place = len(head) + len(opening)
    return Stub(text=head + opening + tail, place=Place(start=place, end=place, kind="body"))


def _is_docstring(statement: Node) -> bool:
    return statement.type == "expression_statement" and [child.type for child in statement.named_children] == ["string"]


def _unit(text: str, header: str) -> str:
    """One level of indentation, as the file has it."""
    if header:
        return "\t" if header.startswith("\t") else header if len(header) in (2, 4) else "    "
    match = _INDENTED.search(text)
    return match.group(1) if match else "    "
