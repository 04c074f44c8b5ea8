"""What `diffill bench` adds on a GPU, rehearsed on the CPU: kernels interpreted, places from a file, transformers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from tests.command_line import refused, run, run_json
from tests.tiny import tiny_checkpoint, tiny_config

REHEARSED = {"DIFFILL_INTERPRET_KERNELS": "1", "TRITON_INTERPRET": "1"}
CODE = "def area(width, height):\n    return width * height\n\n\nvalue = area(3, 4)\nprint(value, area(1, 2))\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = tiny_config(num_layers=1, num_heads=1, num_key_value_heads=1, hidden_size=32, intermediate_size=32)
    return str(tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint", config=config))


@pytest.fixture(scope="module")
def places(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("code")
    (directory / "area.py").write_text(CODE, "utf-8")
    file = directory / "places.json"
    made = run("bench", "--n", "2", "--code", str(directory), "--save-places", str(file), "--checkpoint", tiny)
    assert made.returncode == 0 and made.stdout == "", made.stderr
    return str(file)


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs the extra: pip install 'diffill[gpu]'")
def test_every_kernel_is_measured_beside_torch(tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "made" / "kernels.json"
    options = ("--suite", "kernels", "--n", "1", "--checkpoint", tiny, "--device", "cpu", "--out", str(out))
    document = run_json("bench", *options, **REHEARSED)
    kernels = {row["kernel"] for row in document["rows"]}
    assert {
        "qkv",
        "attention_out",
        "gate_up",
        "down",
        "norm",
        "positions and pages",
        "attention",
        "decision",
    } <= kernels
    assert {"step", "step on the device", "predict"} <= kernels
    assert all(row["relative_error"] < 0.05 for row in document["rows"]), document["rows"]
    assert out.is_file()


def test_transformers_are_measured_beside_us(tiny: str, places: str) -> None:
    pytest.importorskip("transformers", reason="needs the extra: pip install 'diffill[bench]'")
    options = ("--suite", "throughput", "--n", "1", "--batch", "1", "--max-tokens", "8", "--transformers")
    document = run_json("bench", *options, "--places", places, "--checkpoint", tiny, "--device", "cpu")
    assert [row["mode"] for row in document["rows"]][-2:] == ["transformers", "transformers assisted"]
    assert "verify_vs_transformers" in document["ratios"]


def test_bad_input_names_the_argument(tmp_path: Path) -> None:
    assert "--transformers" in refused(run("bench", "--suite", "latency", "--transformers"))
    assert "--random" in refused(run("bench", "--suite", "latency", "--random", "8b"))
    assert "--places" in refused(run("bench", "--suite", "kernels", "--places", "x.json"))
    assert "--places" in refused(run("bench", "--places", str(tmp_path / "gone.json")))
    (tmp_path / "bad.json").write_text("[{}]", "utf-8")
    assert "--places" in refused(run("bench", "--places", str(tmp_path / "bad.json")))


def test_random_weights_have_the_shape_that_is_asked() -> None:
    from diffill.cli.benchmark.random_weights import random_tensors, shape_of

    config = shape_of("8b-int8")
    assert (config.hidden_size, config.num_layers, config.name) == (4096, 32, "random-8b-int8")
    tiny = tiny_config(name="random-tiny-int8")
    tensors = random_tensors(tiny, torch.device("cpu"))
    assert tensors["layers.0.down.weight"].dtype == torch.int8 and "layers.0.down.weight.scale" in tensors
