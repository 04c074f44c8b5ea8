"""The whole step as one native program: every thread runs it over its share, with a barrier between the stages.

The plan is an array of 64-bit numbers, most of them addresses; its places are named by `PLAN` and `LAYER`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

from ..cache import PAGE_SLOTS
from ..config import ModelConfig
from . import attention, rows
from .attention import VISIBLE_BYTES, CacheLayout
from .linear import COLUMNS, linear
from .vector_code import INT64, Code, Kernel, Value, Variable, add_kernel

PLAN = (
    *("barrier", "threads", "rows", "parts", "layers", "storage"),
    *("tokens", "cosine", "sine", "positions", "slots", "pages", "visible", "part_rows"),
    *("x", "heads", "query", "attended", "wide", "bytes", "scales", "scores", "scores_stride", "scores_thread"),
    *("head_weight", "head_scale", "head_correction", "final_norm", "states", "logits", "bias", "decided"),
)
LINEARS = ("qkv", "attention_out", "gate_up", "down")
LAYER = (
    *("attention_norm", "mlp_norm"),
    *(f"{name}_{part}" for name in LINEARS for part in ("weight", "scale", "correction")),
)
SPINS = 4096
DECIDED_BYTES = 16


def padded(columns: int) -> int:
    """Columns of a linear layer's output as it is stored: whole panels."""
    return -(-columns // COLUMNS) * COLUMNS


def layout_of(config: ModelConfig) -> CacheLayout:
    return CacheLayout(layers=config.num_layers, key_value_heads=config.num_key_value_heads, head_size=config.head_size)


class Stages:
    """Fields of the plan, and work shared out between threads."""

    def __init__(self, code: Code, plan: Value, thread: Value) -> None:
        self.code, self.plan, self.thread = code, plan, thread
        self.threads = self["threads"]

    def __getitem__(self, name: str) -> Value:
        return self.code.load(INT64, self.plan + 8 * PLAN.index(name))

    @contextmanager
    def each(self, count: Value) -> Iterator[Value]:
        """A loop over this thread's share of `count` things; whoever is done waits for the others."""
        share = (count + (self.threads - 1)) // self.threads
        last = self.code.minimum((self.thread + 1) * share, count)
        with self.code.loop(self.thread * share, last) as index:
            yield index
        self.wait()

    def wait(self) -> None:
        self.code.call(barrier, self["barrier"], self.threads)


def barrier(code: Code, place: Value, threads: Value) -> None:
    """Wait until all threads are here. Spins, and lets others run when that takes long."""
    ticket = code.add_atomically(place, 1)
    goal = (ticket // threads + 1) * threads
    spins = Variable(code, code.constant(0))
    with code.until(lambda: code.load_atomically(place) >= goal):
        code.pause()
        spins.value += 1
        with code.when(spins.value > SPINS):
            code.call_system("sched_yield")


def step(code: Code, plan: Value, thread: Value, *, config: ModelConfig) -> None:
    """Tokens in, final hidden states out; keys and values of every token go to its slot."""
    stages = Stages(code, plan, thread)
    hidden, inner, head = config.hidden_size, config.intermediate_size, config.head_size
    attended_size = config.num_heads * head
    heads_size = attended_size + 2 * config.num_key_value_heads * head
    layout = layout_of(config)
    count, x, quantised, scales = (stages[name] for name in ("rows", "x", "bytes", "scales"))

    with stages.each(count) as row:
        token = code.integer(stages["tokens"] + row * 4)
        code.call(rows.embed, token, stages["head_weight"], stages["head_scale"], x + row * (4 * padded(hidden)))
    with code.loop(0, config.num_layers) as index:
        layer = stages["layers"] + index * (8 * len(LAYER))

        def field(name: str, layer: Value = layer) -> Value:
            return code.load(INT64, layer + 8 * LAYER.index(name))

        def apply(name: str, depth: int, columns: int, out: Value, kernel: str = "linear") -> None:
            parts = (field(f"{name}_{part}") for part in ("weight", "scale", "correction"))
            sizes = depth, padded(columns), thread, stages.threads
            code.call_named(kernel, quantised, scales, count, *parts, out, *sizes)
            stages.wait()

        def normalise(name: str) -> None:
            with stages.each(count) as row:
                at = x + row * (4 * padded(hidden))
                code.call(rows.normalise, at, field(name), quantised + row * hidden, scales + row * 4)

        normalise("attention_norm")
        apply("qkv", hidden, heads_size, stages["heads"])
        layer_start = stages["storage"] + index * layout.layer_bytes
        with stages.each(count) as row:
            slot = code.integer(stages["slots"] + row * 4)
            pages = code.load(INT64, stages["pages"] + row * 8)
            page = layer_start + code.integer(pages + slot // PAGE_SLOTS * 4) * layout.page_bytes
            angle = code.integer(stages["positions"] + row * 4) * (2 * head)
            groups = config.num_heads // config.num_key_value_heads
            code.call(
                rows.rotate,
                *(stages["heads"] + row * (4 * padded(heads_size)), stages["cosine"] + angle, stages["sine"] + angle),
                *(stages["query"] + row * (4 * head * groups), count * (4 * head * groups)),
                *(page, slot % PAGE_SLOTS),
            )
        _attend(stages, layer_start, config)
        with stages.each(count) as row:
            at = stages["attended"] + row * (4 * attended_size)
            code.call_named("quantise_attended", at, quantised + row * attended_size, scales + row * 4)
        apply("attention_out", attended_size, hidden, x, "linear_onto")
        normalise("mlp_norm")
        apply("gate_up", hidden, 2 * inner, stages["wide"])
        with stages.each(count) as row:
            at = stages["wide"] + row * (4 * padded(2 * inner))
            code.call(rows.gate, at, quantised + row * inner, scales + row * 4)
        apply("down", inner, hidden, x, "linear_onto")
    with stages.each(count) as row:
        at, out = x + row * (4 * padded(hidden)), stages["states"] + row * (4 * hidden)
        code.call(rows.normalise_float, at, stages["final_norm"], out)


def _attend(stages: Stages, layer_start: Value, config: ModelConfig) -> None:
    """Tiles of query rows, part after part and key-value head after head, go round the threads."""
    code, layout = stages.code, layout_of(config)
    groups, head = config.num_heads // config.num_key_value_heads, config.head_size
    out_bytes = 4 * config.num_heads * head
    scores = stages["scores"] + stages.thread * stages["scores_thread"] + attention.SUM_BYTES
    turn = Variable(code, code.constant(0))
    with code.loop(0, stages["parts"]) as part:
        first_row = code.integer(stages["part_rows"] + part * 4)
        part_rows = code.integer(stages["part_rows"] + (part + 1) * 4) - first_row
        pages = code.load(INT64, stages["pages"] + first_row * 8)
        with code.loop(0, config.num_key_value_heads) as kv:
            query = stages["query"] + (kv * stages["rows"] + first_row) * (4 * head * groups)
            out = stages["attended"] + first_row * out_bytes + kv * (4 * head * groups)
            place = Variable(code, code.constant(0))
            for size in attention.ROWS:
                end = place.value + (part_rows * groups - place.value) // size * size
                with code.loop(place.value, end, size) as first:
                    with code.when((turn.value % stages.threads).equals(stages.thread)):
                        code.call_named(
                            f"attend_{size}",
                            *(query, first, pages, layer_start + kv * layout.head_bytes),
                            *(stages["visible"] + first_row * VISIBLE_BYTES, scores, stages["scores_stride"], out),
                        )
                    turn.value += 1
                place.value = end
    stages.wait()


def predict(code: Code, plan: Value, thread: Value, *, config: ModelConfig) -> None:
    """Hidden states in; of each row the logits and the best token out."""
    stages = Stages(code, plan, thread)
    hidden, columns = config.hidden_size, padded(config.vocabulary_size)
    count, quantised, scales = (stages[name] for name in ("rows", "bytes", "scales"))
    with stages.each(count) as row:
        at = stages["states"] + row * (4 * hidden)
        code.call(rows.quantise, at, quantised + row * hidden, scales + row * 4)
    parts = (stages[f"head_{part}"] for part in ("weight", "scale", "correction"))
    sizes = hidden, columns, thread, stages.threads
    code.call_named("linear", quantised, scales, count, *parts, stages["logits"], *sizes)
    stages.wait()
    with stages.each(count) as row:
        bias = code.load(INT64, stages["bias"] + row * 8)
        at = stages["logits"] + row * (4 * columns)
        code.call(rows.decide, at, bias, stages["decided"] + row * DECIDED_BYTES)


class Program:
    """The compiled functions, for one shape of network."""

    def __init__(self, config: ModelConfig) -> None:
        module = ir.Module("diffill")
        module.triple = llvm.get_process_triple()
        _write(module, config)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(
            # By itself LLVM keeps to half of a vector register on many CPUs.
            *(llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten() + ",-prefer-256-bit", 3)
        )
        parsed = llvm.parse_assembly(str(module))
        # Kernels come unrolled and in vectors: what is left to do takes a tenth of a second instead of two.
        passes = llvm.create_new_module_pass_manager()
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        passes.add_new_gvn_pass()
        passes.add_loop_rotate_pass()
        passes.run(parsed, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
        self._engine = llvm.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()
        self.step = self._function("step")
        self.predict = self._function("predict")

    def _function(self, name: str) -> Callable[[int, int], None]:
        """(address of the plan, number of the thread); the interpreter lock is free meanwhile."""
        kind = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)
        return kind(self._engine.get_function_address(name))


_compiling = Lock()
_program = lru_cache(maxsize=4)(Program)


def compiled(config: ModelConfig) -> Program:
    """The program for this shape, compiled once a process: whoever comes second waits for the first."""
    with _compiling:
        return _program(config)


def _write(module: ir.Module, config: ModelConfig) -> None:
    hidden, inner, head = config.hidden_size, config.intermediate_size, config.head_size
    attended, layout = config.num_heads * head, layout_of(config)
    add_kernel(module, linear, accumulate=False)
    add_kernel(module, linear, name="linear_onto", accumulate=True)
    add_kernel(module, attention.weigh)
    norm: dict[str, Any] = {"size": hidden, "epsilon": config.norm_epsilon}
    groups = config.num_heads // config.num_key_value_heads
    for size in attention.ROWS:
        constants: dict[str, Any] = {"rows": size, "groups": groups, "layout": layout, "out_bytes": 4 * attended}
        add_kernel(module, attention.attend, name=f"attend_{size}", **constants)
    kernels: list[tuple[Kernel, dict[str, Any]]] = [
        (rows.embed, {"size": hidden}),
        (rows.normalise, norm),
        (rows.normalise_float, norm),
        (rows.quantise, {"size": hidden}),
        (rows.rotate, {"layout": layout, "num_heads": config.num_heads}),
        (rows.decide, {"columns": padded(config.vocabulary_size)}),
        (barrier, {}),
    ]
    for kernel, constants in kernels:
        add_kernel(module, kernel, **constants)
    add_kernel(module, rows.quantise, name="quantise_attended", size=attended)
    add_kernel(module, rows.quantise, name="quantise_inner", size=inner)
    add_kernel(module, rows.gate, size=inner)
    add_kernel(module, step, config=config)
    add_kernel(module, predict, config=config)
