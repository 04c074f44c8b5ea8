"""Recording and replaying with a fake recorder, shapes of steps, and what happens where kernels cannot be trusted."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffill.model.checkpoint import SCALE_SUFFIX
from diffill.model.gpu import loading, unsupported
from diffill.model.gpu.graphs import GraphRunner, Work
from diffill.model.gpu.inputs import StepInputs
from diffill.model.gpu.loading import load_gpu_network
from diffill.model.gpu.network import GpuNetwork
from diffill.model.gpu.shapes import ROWS, SLOTS, WARM, StepShape
from diffill.model.network import Block, Part
from diffill.model.tokenizer import MASK
from tests.tiny import quantized, tiny_config, tiny_network, tiny_weights

CPU = torch.device("cpu")
CONFIG = tiny_config()
DEFAULT_SIZES = ("576", "1536", "9", "3", "64", "49152")
HANG_GUARD_SECONDS = 240.0


class Recorder:
    """Stands for CUDA graphs: a replay does the recorded work again."""

    def __init__(self, *, problem: Exception | None = None) -> None:
        self.problem = problem
        self.captures = self.replays = 0

    def __call__(self, work: Work) -> Work:
        if self.problem:
            raise self.problem
        self.captures += 1
        work()

        def replay() -> None:
            self.replays += 1
            work()

        return replay


def test_equal_steps_are_recorded_once() -> None:
    recorder, done = Recorder(), []
    graphs = GraphRunner(recorder)
    for key in ("a", "b", "a", "a"):
        graphs.run(key, lambda key=key: done.append(key), memory=1)  # type: ignore[misc]
    assert done == ["a", "b", "a", "a"]
    assert (recorder.captures, recorder.replays, graphs.recorded) == (2, 2, 2)


def test_what_was_recorded_over_other_memory_is_void() -> None:
    recorder = Recorder()
    graphs = GraphRunner(recorder)
    for memory in (1, 1, 2, 1):
        graphs.run("a", lambda: None, memory=memory)
    assert (recorder.captures, recorder.replays) == (3, 1)


def test_a_device_that_cannot_record_is_told_once_and_served(caplog: pytest.LogCaptureFixture) -> None:
    done = []
    graphs = GraphRunner(Recorder(problem=RuntimeError("operation not permitted\nwhen stream is capturing")))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            graphs.run("a", lambda: done.append(1), memory=1)
    assert len(done) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "steps are not recorded as CUDA graphs, which costs time: operation not permitted"
    ]


def test_without_memory_to_record_the_caller_makes_room() -> None:
    graphs = GraphRunner(Recorder(problem=torch.OutOfMemoryError("no memory")))
    with pytest.raises(torch.OutOfMemoryError):
        graphs.run("a", lambda: None, memory=1)


@given(rows=st.integers(1, ROWS[-1]), slots=st.integers(1, SLOTS[-1]))
def test_the_shape_of_a_step_is_the_next_one_up(rows: int, slots: int) -> None:
    shape = StepShape.of(rows, slots)
    assert rows <= shape.rows < max(2, 2 * rows) and slots <= shape.slots
    assert shape.pages % shape.stretches == 0
    assert StepShape.of(shape.rows, shape.slots) == shape


def test_columns_say_where_every_row_belongs() -> None:
    network = tiny_network(CONFIG, dtype=torch.float32)
    pool = network.new_pool(0)
    caches = [pool.open([]) for _ in range(2)]
    for cache, length in zip(caches, (40, 3), strict=True):
        cache.reserve(length + 8)
        cache.keep([30] * length)
    parts = [Part(caches[0], [20, 21], [Block((MASK,) * 4, before=1)]), Part(caches[1], [22])]
    inputs, shape = StepInputs(CPU), StepShape.of(7, 46)
    inputs.fill(shape, parts, tile_rows=4)
    columns = inputs.columns(shape)
    assert columns.tokens.tolist() == [20, 21, MASK, MASK, MASK, MASK, 22, 0]
    assert columns.positions.tolist() == [40, 41, 41, 42, 43, 44, 3, 0]
    assert columns.visible.tolist() == [[41, 0, 0], [42, 0, 0], *[[41, 42, 46]] * 4, [4, 0, 0], [0, 0, 0]]
    assert columns.offsets.tolist() == [8, 9, 10, 11, 12, 13, 3, 0]
    own = int(caches[0].pages[1])
    assert columns.pages.tolist() == [own] * 6 + [int(caches[1].pages[0]), -1]
    assert [column.tolist()[:4] for column in columns.tiles] == [[0, 4, 6, 0], [4, 2, 1, 0], [0, 0, 1, 0]]
    for row, cache in enumerate(caches):
        assert np.array_equal(columns.page_tables[row, : cache.page_count].numpy(), cache.pages[: cache.page_count])


def test_a_network_records_usual_steps_ahead_and_replays_them() -> None:
    """The fake recorder does the work, so this is the network's own way through graphs; only the first pool records."""
    recorder = Recorder()
    config = tiny_config(num_layers=1, num_heads=1, num_key_value_heads=1, hidden_size=32, intermediate_size=32)
    network = GpuNetwork(config, tiny_weights(config), device=CPU, capture=recorder)
    work = Recorded(network)
    pool = network.new_pool(0)
    assert recorder.captures == 2 * len(WARM)
    network.new_pool(0)
    assert recorder.captures == 2 * len(WARM)
    cache = pool.open([])
    cache.reserve(1000)
    cache.keep(list(range(20, 50)) * 30)
    states = network.step(cache, [20])
    network.predict(states)
    network.predict(states)
    assert (recorder.captures, recorder.replays) == (2 * len(WARM), 2), "one decision for all who ask about a step"
    assert [shape.rows for shape in work.shapes][-1] == 1


class Recorded:
    """Takes the place of a network's kernels: what is asked of them."""

    def __init__(self, network: GpuNetwork) -> None:
        self.shapes: list[StepShape] = []
        program = network.program
        program.step = lambda shape, columns, storage: self.shapes.append(shape)  # type: ignore[method-assign]
        program.decide = lambda states, bias: program.decided.fill_(1.0)  # type: ignore[method-assign]


def test_other_families_are_left_to_plain_torch() -> None:
    weights = quantized(tiny_weights(CONFIG))
    assert unsupported(CONFIG, weights) is None
    assert "qkv.bias" in str(unsupported(CONFIG, [*weights, "layers.0.qkv.bias"]))
    assert "norm.weight" in str(unsupported(CONFIG, [name for name in weights if name != "norm.weight"]))
    assert "head_size" in str(unsupported(tiny_config(head_size=48), weights))
    assert unsupported(CONFIG, [name for name in weights if not name.endswith(SCALE_SUFFIX)]) is None


@pytest.mark.parametrize("problem", ["a difference", "an exception", "another family"])
def test_where_kernels_cannot_be_trusted_one_line_says_so(
    problem: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError("no compiler\nsecond line")

    weights = tiny_weights(CONFIG)
    if problem == "a difference":
        monkeypatch.setattr("diffill.model.gpu.self_check.first_problem", lambda *_: "the kernel for norms is off")
    elif problem == "an exception":
        monkeypatch.setattr(loading, "_checked", fail)
    else:
        weights["layers.0.qkv.bias"] = torch.zeros(1)
    with caplog.at_level(logging.WARNING):
        assert load_gpu_network(CONFIG, weights, device=CPU) is None
    (record,) = caplog.records
    assert record.getMessage().startswith("plain torch computes, the GPU's own kernels do not: ")
    assert "second line" not in record.getMessage()


def test_every_kernel_compiles_for_an_h200(tmp_path: Path) -> None:
    """The interpreter takes what the compiler refuses. In the sizes of the default model; nothing is run."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    process = subprocess.run(
        [sys.executable, "-m", "tests.model.gpu.compile_step", *DEFAULT_SIZES],
        env={**environment, "TRITON_CACHE_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=HANG_GUARD_SECONDS,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    kernels = [json.loads(line) for line in process.stdout.splitlines()]
    assert {kernel["kernel"] for kernel in kernels} == {
        *("embed_kernel", "residual_norm_kernel", "linear_kernel", "rotate_and_write_kernel"),
        *("stretch_kernel", "combine_kernel", "part_kernel", "whole_kernel"),
    }
    assert all(kernel["shared_bytes"] <= 227 << 10 for kernel in kernels), "what a multiprocessor has"
