from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffill.cli.benchmark.keystrokes import Outcome, keys_of, typing_row
from diffill.cli.benchmark.place import in_turn
from diffill.cli.benchmark.report import Row, Sample, ratios, row
from diffill.model.cpu import runs_here
from tests.command_line import fake_engine, refused, run, run_json
from tests.tiny import tiny_checkpoint, tiny_config

MODES = ("ar", "verify", "diffusion")
CODE = "def area(width, height):\n    return width * height\n\n\nvalue = area(3, 4)\nprint(value, area(1, 2))\n"


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("code")
    (directory / "area.py").write_text(CODE, "utf-8")
    return str(directory)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint"))


def sample(tokens: int, milliseconds: float, passes: int | None = None) -> Sample:
    passes = passes or tokens
    return Sample(
        tokens=tokens, forward_passes=passes, steps=passes, decode_ms=milliseconds, total_ms=milliseconds + 5.0
    )


def test_latency(code: str, tiny: str, tmp_path: Path) -> None:
    plot = tmp_path / "latency.png"
    document = run_json("bench", "--n", "3", "--code", code, "--checkpoint", tiny, "--plot", str(plot))
    assert [(found["prefix"], found["mode"]) for found in document["rows"]] == [
        (prefix, mode) for prefix in ("cold", "warm") for mode in MODES
    ]
    assert all(found["n"] == 3 and 0 < found["p50_ms"] <= found["p95_ms"] for found in document["rows"])
    assert document["rows"][0]["tokens_per_forward"] <= 1.0
    assert set(document["ratios"]) == {f"{mode}_vs_ar{end}" for mode in MODES[1:] for end in ("", "_cold")}
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_throughput(code: str, tiny: str) -> None:
    options = ("--suite", "throughput", "--n", "1", "--batch", "3", "--batch", "1", "--max-tokens", "16")
    document = run_json("bench", *options, "--code", code, "--checkpoint", tiny)
    assert [(found["batch"], found["mode"]) for found in document["rows"]] == [
        (size, mode) for size in (1, 3) for mode in MODES
    ]
    assert document["rows"][0]["tokens_per_forward"] <= 1.0
    assert {"verify_vs_ar", "diffusion_vs_ar_batch_3", "ar_batch_3_vs_1"} <= set(document["ratios"])


def test_typing(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text("one = 1\ntwo = 2\nsix = 6\n", "utf-8")  # it is typed in real time
    with fake_engine(answer="x") as environment:
        document = run_json("bench", "--suite", "typing", "--n", "3", "--code", str(tmp_path), **environment)
        assert "stopped" in run("engine", "status", "--json", **environment).stdout  # it had one of its own
    assert document["model"]["name"] == "fake"
    assert [found["mode"] for found in document["rows"]] == list(MODES)
    for found in document["rows"]:
        assert found["n"] > 0
        assert 0 <= found["within_150_ms"] <= found["within_300_ms"] <= 1 - found["cancelled"]


@pytest.mark.skipif(not runs_here(tiny_config()), reason="the native step needs a CPU with AVX-512 VNNI")
def test_kernels_are_close_to_their_twins(tiny: str) -> None:
    document = run_json("bench", "--suite", "kernels", "--n", "1", "--checkpoint", tiny, "--device", "cpu")
    assert {(found["kernel"], found["context"]) for found in document["rows"]} == {
        *(("step", context) for context in (256, 700)),
        ("predict", 0),
    }
    for found in document["rows"]:
        assert found["relative_error"] < 0.1
        assert min(found[name] for name in ("ms", "twin_ms", "memory_floor_ms", "compute_floor_ms")) >= 0


def test_bad_input_names_the_argument(code: str, tmp_path: Path) -> None:
    assert "--llama-cpp" in refused(run("bench", "--suite", "typing", "--llama-cpp"))
    assert "--code" in refused(run("bench", "--code", str(tmp_path / "gone")))
    few = run("bench", "--suite", "throughput", "--n", "1", "--batch", "64", "--code", code)
    assert "--code" in refused(few)


def test_row() -> None:
    found = row("verify", [sample(10, 20.0, passes=5), sample(20, 80.0, passes=5)], batch=2)
    assert (found.tokens_per_second, found.tokens_per_forward, found.step_ms) == (300.0, 3.0, 10.0)
    assert (found.p50_ms, found.n, found.batch) == (55.0, 2, 2)


def test_ratios_compare_like_with_like() -> None:
    speeds = {("ar", 1): 10.0, ("verify", 1): 20.0, ("ar", 4): 30.0, ("verify", 4): 90.0, ("llama.cpp", 1): 5.0}
    rows: list[Row] = [row(mode, [sample(1, 1e3 / speed)], batch=size) for (mode, size), speed in speeds.items()]
    assert ratios(rows) == {
        "verify_vs_ar": 2.0,
        "verify_vs_llama.cpp": 4.0,
        "ar_vs_llama.cpp": 2.0,
        "verify_vs_ar_batch_4": 3.0,
        "ar_batch_4_vs_1": 3.0,
        "verify_batch_4_vs_1": 4.5,
    }


def test_shares_are_of_the_keystrokes_that_asked() -> None:
    answered = [
        Outcome(sample=sample(2, milliseconds), prompt_tokens=100, cached_tokens=cached)
        for milliseconds, cached in ((20.0, 90), (200.0, 100))
    ]
    found = typing_row("ar", [*answered, Outcome(sample=None), Outcome(sample=None)])
    assert (found.n, found.within_150_ms, found.within_300_ms, found.cancelled) == (4, 0.25, 0.5, 0.5)
    assert found.cached_tokens == 0.95


@given(line=st.text(min_size=1, max_size=40), seed=st.integers(0, 1000))
def test_the_keys_write_the_line(line: str, seed: int) -> None:
    keys = list(keys_of(line, random.Random(seed)))
    assert keys[-1].typed == line
    held = ""
    for key in keys:
        assert key.pause > 0
        assert key.typed[:-1] == held or key.typed == held[:-1]
        held = key.typed


def test_modes_take_turns() -> None:
    assert [in_turn("abc", index)[0] for index in range(4)] == ["a", "b", "c", "a"]
    assert sorted(in_turn("abc", 2)) == ["a", "b", "c"]
