"""What to fill at a cursor, and where to stop: the rest of a line, a statement, a block or a function's body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from diffill.model.code.span import Span, leading_space, line_end, line_start, next_line, width

if TYPE_CHECKING:
    from tree_sitter import Node

    from diffill.model.code.syntax import Syntax

# What may stand right of the cursor, outer spaces off, and still let a completion be shown: it only closes or ends what
# is there. No two repetitions here can take the same character: a long line must not take for ever.
_INERT = re.compile(r"[)\]}>\"'`]*\s*[:{;,]?")
_CLOSED_BLOCK = re.compile(r"(}\s*[)\]};,]*|[)\]];?)?")
_PYTHON_HEADERS = {
    "function_definition", "class_definition", "if_statement", "elif_clause", "else_clause", "for_statement",
    "while_statement", "with_statement", "try_statement", "except_clause", "except_group_clause", "finally_clause",
    "match_statement", "case_clause",
}  # fmt: skip
_PYTHON_KEYWORD = re.compile(
    r"\s*(async\s+)?(def|class|if|elif|else|for|while|with|try|except|finally|match|case)\b[^\[\](){}]*"
    r"(\([^\[\](){}]*\)[^\[\](){}]*)?:$"
)
_FUNCTIONS = {
    "function_definition", "function_declaration", "function_expression", "generator_function", "function_body",
    "generator_function_declaration", "arrow_function", "method_definition", "method_declaration", "constructor_body",
    "constructor_declaration", "init_declaration", "local_function_statement", "accessor_declaration", "func_literal",
    "function_item", "closure_expression", "lambda_expression", "lambda_literal", "anonymous_function", "method",
    "singleton_method",
}  # fmt: skip
_FUNCTION_WORDS = re.compile(r"\b(def|function)\b")
# Braces that hold names or an expression rather than lines.
_NOT_BLOCKS = {
    "jsx_expression", "named_imports", "export_clause", "object_pattern", "template_substitution", "use_list",
    "interpolation", "interpolated_expression", "string_interpolation",
}  # fmt: skip


def find_span(text: str, offset: int, syntax: Syntax | None, *, invoked: bool = False) -> Span | None:
    """What to fill at `offset` (in characters), or None where a completion would only disturb.

    Args:
        syntax: the tree of `text`; without one every span is a line.
        invoked: the user asked, so something is filled wherever the cursor is.
    """
    before = text[line_start(text, offset) : offset]
    after = text[offset : line_end(text, offset)]
    prefix, suffix = text[:offset], text[offset:]
    language = syntax.name if syntax is not None else ""
    line = Span(kind="line", prefix=prefix, suffix=suffix, language=language)
    in_word = _is_word(before[-1:]) and _is_word(after[:1])
    if in_word or not _INERT.fullmatch(after.strip()):
        return line if invoked else None
    if syntax is not None:
        header = _empty_block(text, offset, before, after, syntax)
        if header is not None:
            is_body, indentation = header
            return Span(
                kind="body" if is_body else "block",
                prefix=prefix,
                suffix=suffix,
                language=language,
                indentation=width(indentation) + 1 if before.strip() else width(before),
                header_indentation=indentation,
            )
        if invoked:
            return Span(kind="statement", prefix=prefix, suffix=suffix, language=language)
    return line


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_function(node: Node) -> bool:
    return node.type in _FUNCTIONS or (node.parent is not None and node.parent.type in _FUNCTIONS)


def _empty_block(text: str, offset: int, before: str, after: str, syntax: Syntax) -> tuple[bool, str] | None:
    """Whether the empty block right before the cursor is a function's, and the indentation of its first line."""
    if syntax.language.word_blocks:
        found = _empty_word_block(text, offset, before, after, syntax)
        if found is not None or not syntax.language.block_opener:
            return found
    return _empty_token_block(text, offset, before, after, syntax) if syntax.language.block_opener else None


def _empty_word_block(text: str, offset: int, before: str, after: str, syntax: Syntax) -> tuple[bool, str] | None:
    """As `_empty_block`, for a line that opens a block by its words. Only below it: on it the words go on."""
    if before.strip() or after.strip():
        return None
    end = len(text[:offset].rstrip())
    start = line_start(text, end)
    header = text[start:end]
    indentation = leading_space(header)
    if not syntax.language.opens_block(header) or width(before) <= width(indentation):
        return None
    leaf = syntax.leaf_at(end - 1)
    if leaf is not None and leaf.type in ("comment", "string", "string_content"):
        return None
    following = next_line(text[offset:])
    if following is not None and width(leading_space(following)) > width(indentation):
        return None
    return bool(_FUNCTION_WORDS.search(header)), indentation


def _empty_token_block(text: str, offset: int, before: str, after: str, syntax: Syntax) -> tuple[bool, str] | None:
    """As `_empty_block`, for a block that is opened by `{` or `:`."""
    opener = syntax.language.block_opener
    if opener == ":" and after.strip():
        return None
    last = _last_code(text, offset, syntax)
    if last is None or text[last] != opener:
        return None
    on_header_line = bool(before.strip())
    if on_header_line and text[last + 1 : offset].strip():
        return None  # the cursor is behind a comment or docstring, not behind the opener
    leaf = syntax.leaf_at(last)
    if leaf is None or leaf.type != opener or leaf.parent is None:
        return None
    start = line_start(text, last)
    if opener == ":":
        if leaf.parent.type in _PYTHON_HEADERS:
            start = line_start(text, syntax.start_of(leaf.parent))
        elif not _PYTHON_KEYWORD.fullmatch(text[start : last + 1]):
            return None
    elif leaf.parent.type in _NOT_BLOCKS or not _CLOSED_BLOCK.fullmatch(after.strip()):
        return None
    indentation = leading_space(text[start:last])
    if not on_header_line and (after.strip() or width(before) <= width(indentation)):
        return None
    if on_header_line and after.strip().startswith("}"):
        return _is_function(leaf.parent), indentation
    following = next_line(text[offset:])
    if following is not None and width(leading_space(following)) > width(indentation):
        return None
    return _is_function(leaf.parent), indentation


def _last_code(text: str, offset: int, syntax: Syntax) -> int | None:
    """The offset of the last character before the cursor that is neither space nor comment nor a leading docstring."""
    end = offset
    docstring_seen = False
    while stripped := len(text[:end].rstrip()):
        leaf = syntax.leaf_at(stripped - 1)
        if leaf is None:
            return None
        if leaf.type.endswith("comment"):
            end = syntax.start_of(leaf)
        elif not docstring_seen and (docstring := _docstring(leaf)) is not None:
            docstring_seen = True
            end = syntax.start_of(docstring)
        else:
            return stripped - 1
    return None


def _docstring(leaf: Node) -> Node | None:
    """The string node of a Python body's first statement, when `leaf` is part of one."""
    string = leaf if leaf.type == "string" else leaf.parent
    if string is None or string.type != "string" or string.parent is None:
        return None
    statement = string.parent
    block = statement.parent
    if statement.type != "expression_statement" or block is None or block.type != "block":
        return None
    first = next((child for child in block.named_children if child.type != "comment"), None)
    return string if first == statement else None
