"""The network on a CPU with VNNI: one native program a step, on as many threads as there are free cores."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..cache import PAGE_SLOTS
from ..config import ModelConfig
from ..network import MAX_POSITIONS, MAX_STEP_ROWS, Network, NotFinite, Part, Prediction, ranked
from ..step_rows import step_rows
from ..transformer import Rotary
from .crew import MAX_THREADS, Crew, Native
from .packed import PackedLinear, pack_linear
from .program import DECIDED_BYTES, LAYER, LINEARS, PLAN, compiled, layout_of, padded

MAX_PREDICTED = 64
"""Rows whose logits are held at once; 49,152 of them take 0.2 MB a row."""
TILE_ROWS = 8
SCORES = (-(-MAX_POSITIONS // PAGE_SLOTS) + 2) * PAGE_SLOTS
"""Slots of the longest sequence, and room for the sum in front."""


class CpuNetwork(Network):
    """Weights packed for the native program, and the buffers it works in."""

    def __init__(self, config: ModelConfig, tensors: dict[str, Tensor]) -> None:
        """
        Args:
            tensors: as a checkpoint stores them; they are taken out one by one as they are packed.
        """
        super().__init__(config, device=torch.device("cpu"))
        self.use_cores(1)
        self._program = compiled(config)
        self._layout = layout_of(config)
        self._crew = Crew()
        self._plan = np.zeros(len(PLAN), np.int64)
        self._held: list[Tensor | PackedLinear] = []
        self._shares: CpuNetwork | None = None
        """Keeps alive what an adapted network shares with it."""
        self._bias = {labels: self._bias_of(labels) for labels in (False, True)}
        self._load(tensors)
        self._buffers = _buffers(config)
        for name, buffer in self._buffers.items():
            self._set(name, buffer.data_ptr())
        cosine, sine = Rotary(config)(torch.arange(MAX_POSITIONS)[None])
        for name, table in (("cosine", cosine), ("sine", sine)):
            self._set(name, self._hold(table[0, 0, :, : config.head_size // 2].contiguous()))
        self._barriers = np.zeros((MAX_THREADS + 1, 8), np.int64)
        stride = 4 * SCORES
        self._set("scores_stride", stride)
        self._set("scores_thread", stride * TILE_ROWS)

    def adapted(self, tensors: dict[str, Tensor]) -> CpuNetwork:
        """The same network with other layers; buffers, tables and head are shared, so that one of them runs at a time.

        Args:
            tensors: of the layers, as a checkpoint stores them; taken out as they are packed.
        """
        other = copy.copy(self)
        other._shares = self
        other._plan, other._held = self._plan.copy(), []
        other._load_layers(tensors)
        return other

    @property
    def page_bytes(self) -> int:
        return self._layout.page_bytes

    def new_storage(self, pages: int) -> Tensor:
        return torch.empty((pages, self.page_bytes), dtype=torch.uint8)

    def use_cores(self, count: int) -> None:
        self.threads = min(count, MAX_THREADS)
        torch.set_num_threads(1)  # what is left to torch is small, and its own threads would spin beside ours

    def run(self, parts: Sequence[Part]) -> list[Tensor]:
        lengths = []
        for part in parts:
            lengths.append(len(part.tokens))
            part.cache.reserve(lengths[-1])
        count = sum(lengths)
        assert 0 < count <= MAX_STEP_ROWS, "the caller cuts long steps"
        starts = np.cumsum([0, *lengths])
        buffers = self._buffers
        for name, numbers in step_rows(parts).items():
            buffers[name][: len(numbers)] = torch.from_numpy(numbers)
        buffers["part_rows"][: len(starts)] = torch.from_numpy(starts)
        buffers["pages"][:count] = torch.from_numpy(
            np.repeat([part.cache.pages.ctypes.data for part in parts], lengths)
        )
        (storage,) = {part.cache.storage.data_ptr() for part in parts}
        self._set("storage", storage)
        self._set("parts", len(parts))
        states = torch.empty((count, self.config.hidden_size))
        self._set("states", states.data_ptr())
        self._run(self._program.step, count)
        return list(torch.split(states, lengths))

    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        whole = Prediction([], [])
        for start in range(0, len(states), MAX_PREDICTED):
            first = refused_first if start == 0 else None
            part = self._predict(states[start : start + MAX_PREDICTED].contiguous(), first, choices, labels)
            whole.tokens.extend(part.tokens)
            whole.log_probability.extend(part.log_probability)
            whole.runners_up.extend(part.runners_up)
            whole.entropy.extend(part.entropy)
        return whole

    def _predict(self, states: Tensor, refused_first: Tensor | None, choices: int, labels: bool) -> Prediction:
        count = len(states)
        biases = torch.full((count,), self._bias[labels].data_ptr())
        if refused_first is not None:
            narrowed = self._bias[labels].clone()
            narrowed[: len(refused_first)].masked_fill_(refused_first, -torch.inf)
            biases[0] = narrowed.data_ptr()
        self._set("bias", biases.data_ptr())
        self._set("states", states.data_ptr())
        self._run(self._program.predict, count)
        decided = self._buffers["decided"][:count]  # int32 [R, 4]
        best, total, weighted = decided[:, 1:].view(torch.float32).unbind(dim=1)
        entropy = total.log() - weighted / total
        # The way to bytes would hide a state that is no number.
        if not bool(torch.isfinite(states).all() and torch.isfinite(best).all() and torch.isfinite(total).all()):
            raise NotFinite("the network's output is not a number")
        if choices == 1:
            return Prediction(decided[:, 0].tolist(), (-total.log()).tolist(), entropy=entropy.tolist())
        return ranked(self._buffers["logits"][:count], best + total.log(), entropy, choices)

    def _bias_of(self, labels: bool) -> Tensor:
        """What is added to the logits: minus infinity for what is no answer, the padding included.  # [V padded]"""
        bias = torch.zeros(padded(self.config.vocabulary_size))
        bias[self.banned(labels=labels)] = -torch.inf
        bias[self.config.vocabulary_size :] = -torch.inf
        return bias

    def _run(self, function: Native, rows: int) -> None:
        self._set("rows", rows)
        self._set("threads", self.threads)
        self._set("barrier", self._barriers[self.threads].ctypes.data)
        self._crew.run(function, self._plan.ctypes.data, self.threads)

    def _set(self, name: str, number: int) -> None:
        self._plan[PLAN.index(name)] = number

    def _hold(self, tensor: Tensor) -> int:
        """Keep a tensor alive; its address."""
        self._held.append(tensor)
        return tensor.data_ptr()

    def _load(self, tensors: dict[str, Tensor]) -> None:
        self._load_layers(tensors)
        at = PLAN.index("head_weight")
        self._plan[at : at + 3] = self._pack(tensors, "embedding.weight")
        self._set("final_norm", self._hold(tensors["norm.weight"].float()))

    def _load_layers(self, tensors: dict[str, Tensor]) -> None:
        layers = np.zeros((self.config.num_layers, len(LAYER)), np.int64)
        for index, row in enumerate(layers):
            for name in ("attention_norm", "mlp_norm"):
                row[LAYER.index(name)] = self._hold(tensors[f"layers.{index}.{name}.weight"].float())
            for name in LINEARS:
                at = LAYER.index(f"{name}_weight")
                row[at : at + 3] = self._pack(tensors, f"layers.{index}.{name}.weight")
        self._layers = layers
        self._set("layers", layers.ctypes.data)

    def _pack(self, tensors: dict[str, Tensor], name: str) -> tuple[int, int, int]:
        packed = pack_linear(tensors.pop(name), tensors.pop(name + ".scale"))
        self._held.append(packed)
        return packed.addresses


def _buffers(config: ModelConfig) -> dict[str, Tensor]:
    """What the program works in, at addresses that stay."""
    heads = (config.num_heads + 2 * config.num_key_value_heads) * config.head_size
    attended, inner = config.num_heads * config.head_size, config.intermediate_size
    integers = {"tokens": 1, "positions": 1, "slots": 1, "visible": 3, "part_rows": 1}
    floats = {
        "x": padded(config.hidden_size),
        "heads": padded(heads),
        "query": attended,
        "attended": attended,
        "wide": padded(2 * inner),
        "scales": 1,
    }
    return {
        **{name: torch.zeros((MAX_STEP_ROWS + 1) * size, dtype=torch.int32) for name, size in integers.items()},
        **{name: torch.zeros((MAX_STEP_ROWS, width)) for name, width in floats.items()},
        "pages": torch.zeros(MAX_STEP_ROWS, dtype=torch.int64),
        "bytes": torch.zeros((MAX_STEP_ROWS, max(config.hidden_size, attended, inner)), dtype=torch.uint8),
        "scores": torch.empty(MAX_THREADS * TILE_ROWS * SCORES),
        "logits": torch.zeros((MAX_PREDICTED, padded(config.vocabulary_size))),
        "decided": torch.zeros((MAX_PREDICTED, DECIDED_BYTES // 4), dtype=torch.int32),
    }
