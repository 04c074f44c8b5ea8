from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import answers_file, fake_engine, refused, run, run_json

SOURCE = "def area(width, height):\n    return width * \n\nvalue = area(3, 4)\n"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("complete")
    (directory / "shape.py").write_text(SOURCE, "utf-8")
    (directory / "text.py").write_text("é = 'x'\nprint()\n", "utf-8")
    return directory


@pytest.fixture(scope="module")
def engine(workplace: Path) -> Iterator[dict[str, str]]:
    answers = {"width * ": "height", "prin": "t_all", "city = ": "'Łk'"}
    with fake_engine(answer="", table=answers_file(workplace, answers)) as environment:
        yield environment


def test_text(workplace: Path, engine: dict[str, str]) -> None:
    process = run("complete", f"{workplace}/shape.py:2:20", **engine)
    assert (process.returncode, process.stdout, process.stderr) == (0, "height\n", "")


def test_json_form(workplace: Path, engine: dict[str, str]) -> None:
    answer = run_json("complete", f"{workplace}/shape.py:2:20", "--mode", "ar", **engine)
    place = {"line": 2, "column": 20}
    assert answer["items"] == [{"text": "height", "range": {"start": place, "end": place}, "score": 0.0}]
    total = answer["ms"].pop("total")
    assert total > 0
    assert {key: value for key, value in answer.items() if key != "items"} == {
        "mode": "ar",
        "device": "cpu",
        "tokens": 1,
        "steps": 1,
        "forward_passes": 1,
        "cached_tokens": 0,
        "ms": {"prefill": 0.0, "denoise": 0.0},
        "model": {"name": "fake", "hash": "0" * 12, "adapter": None},
    }


def test_nothing_to_complete_keeps_the_json_form(workplace: Path, engine: dict[str, str]) -> None:
    answer = run_json("complete", f"{workplace}/shape.py:4:19", **engine)
    assert answer["items"] == []
    assert answer["tokens"] == 0
    assert answer["model"]["name"] == "fake"
    process = run("complete", f"{workplace}/shape.py:4:19", **engine)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "nothing to complete here\n")


def test_an_explicit_call_also_answers_inside_a_word(workplace: Path, engine: dict[str, str]) -> None:
    # An automatic request is silent here; what comes back shows that the call counts as invoked.
    answer = run_json("complete", f"{workplace}/text.py:2:5", **engine)
    assert answer["tokens"] > 0


def test_a_terminal_that_cannot_show_a_character(workplace: Path, engine: dict[str, str]) -> None:
    (workplace / "name.py").write_text("city = \n", "utf-8")
    process = run("complete", f"{workplace}/name.py:1:8", PYTHONIOENCODING="iso-8859-1", **engine)
    assert (process.returncode, process.stdout) == (0, "'\\u0141k'\n")


def test_trace_goes_to_standard_error(workplace: Path, engine: dict[str, str]) -> None:
    process = run("complete", f"{workplace}/shape.py:2:20", "--trace", **engine)
    assert process.stdout == "height\n"
    assert process.stderr == "pass 1, tokens 0-3:  height···  [1.00 1.00 1.00 1.00]\n"


def test_max_tokens(workplace: Path, engine: dict[str, str]) -> None:
    answer = run_json("complete", f"{workplace}/shape.py:2:20", "--max-tokens", "1", **engine)
    assert answer["tokens"] == 1


def test_syntax_guidance_can_be_left_out(workplace: Path) -> None:
    with fake_engine(answer="plain", guided="guided") as environment:
        place = f"{workplace}/shape.py:2:20"
        assert run("complete", place, **environment).stdout == "guided\n"
        assert run("complete", place, "--no-syntax-guidance", **environment).stdout == "plain\n"


def test_columns_count_characters(workplace: Path, engine: dict[str, str]) -> None:
    assert "column: 9" in refused(run("complete", f"{workplace}/text.py:1:9", **engine))
    assert run("complete", f"{workplace}/text.py:1:8", **engine).returncode == 0


@pytest.mark.parametrize("place", ["shape.py:99:1", "shape.py:1:99", "shape.py:0:1", "gone.py:1:1", "shape.py"])
def test_bad_places_name_the_argument(workplace: Path, place: str) -> None:
    line = refused(run("complete", f"{workplace}/{place}"))
    assert "FILE:LINE:COL" in line
    assert place.split(":")[0] in line


def test_an_engine_that_cannot_load_is_one_line(workplace: Path) -> None:
    with fake_engine(load_error="checkpoint: shard 2 is truncated") as environment:
        line = refused(run("complete", f"{workplace}/shape.py:2:20", **environment))
    assert line == "diffill: checkpoint: shard 2 is truncated"


def test_a_checkpoint_without_tokenizer_is_refused(workplace: Path, engine: dict[str, str]) -> None:
    empty = workplace / "empty"
    empty.mkdir()
    environment = {**engine, "DIFFILL_FAKE_LOAD_SECONDS": "0"}
    process = run("complete", f"{workplace}/shape.py:2:20", "--checkpoint", str(empty), **environment)
    run("engine", "stop", "--checkpoint", str(empty), **environment)
    assert "--checkpoint" in refused(process)
    assert "tokenizer.json is missing" in process.stderr
