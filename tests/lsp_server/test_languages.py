"""The table of grammars."""

from __future__ import annotations

from pathlib import PurePath

import pytest

from diffill.lsp_server.languages import LANGUAGES, language_of, parser_for


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_grammar_loads_and_parses(language: str) -> None:
    parser = parser_for(language)
    assert parser is not None
    source = b"x = 1\n" if LANGUAGES[language].block_opener == ":" else b"let x = 1;\n"
    assert not parser.parse(source).root_node.has_error


def test_tsx_and_ts_are_two_grammars() -> None:
    element = b"const a = <b>c</b>;\n"
    typescript, tsx = parser_for("typescript"), parser_for("typescriptreact")
    assert typescript is not None and tsx is not None
    assert typescript.parse(element).root_node.has_error
    assert not tsx.parse(element).root_node.has_error


def test_an_unknown_language_has_none() -> None:
    assert parser_for("cobol") is None


@pytest.mark.parametrize(
    ("name", "language"),
    [("a.py", "python"), ("A.PY", "python"), ("a.tsx", "typescriptreact"), ("a.mjs", "javascript"), ("a", "plaintext")],
)
def test_language_of_a_file(name: str, language: str) -> None:
    assert language_of(PurePath(name)) == language
