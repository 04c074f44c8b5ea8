from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from diffill.cli.sample import FUNCTION_BODY, Cursor, Sample, load_samples


@pytest.fixture(scope="module", params=load_samples(), ids=lambda sample: sample.path.name)
def sample(request: pytest.FixtureRequest) -> Sample:
    loaded: Sample = request.param
    return loaded


def test_two_python_and_two_typescript_files() -> None:
    kinds = Counter(sample.path.suffix for sample in load_samples())
    assert kinds[".py"] >= 2
    assert kinds[".ts"] >= 2


def test_every_cursor_is_one_place(sample: Sample) -> None:
    assert len(sample.cursors) >= 4
    for cursor in sample.cursors:
        offset = sample.offset(cursor)
        assert sample.text[offset:].startswith(cursor.missing)
        line, column = sample.position(offset)
        assert sample.text.split("\n")[line][column:].startswith(cursor.missing.split("\n")[0])


def test_positions_need_no_encoding(sample: Sample) -> None:
    assert sample.text.isascii()
    assert "\r" not in sample.text


def test_python_samples_are_programs(sample: Sample) -> None:
    if sample.path.suffix == ".py":
        compile(sample.text, sample.path.name, "exec")


def test_the_function_body_is_in_the_first_sample() -> None:
    first = load_samples()[0]
    assert first.path.name == FUNCTION_BODY.file
    assert first.offset(FUNCTION_BODY) > 0


def test_a_place_that_is_not_unique_is_refused() -> None:
    sample = Sample(path=Path("a.py"), text="x = 1\nx = 1\n", cursors=[])
    with pytest.raises(ValueError, match="not unique"):
        sample.offset(Cursor(file="a.py", before="x = ", missing="1"))
