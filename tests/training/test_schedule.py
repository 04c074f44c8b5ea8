"""Learning rate over a run, and which weights decay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffill.training.schedule import optimizer, rate
from tests.tiny import tiny_config, tiny_transformer


def at(step: int, progress: float, *, warmup_steps: int = 10, decay_share: float = 0.4) -> float:
    return rate(peak=2.0, step=step, warmup_steps=warmup_steps, progress=progress, decay_share=decay_share)


def test_warm_up_then_constant_then_linear_to_zero() -> None:
    assert [at(step, 0.0) for step in (0, 4, 9, 10, 500)] == pytest.approx([0.2, 1.0, 2.0, 2.0, 2.0])
    assert [at(500, progress) for progress in (0.5, 0.6, 0.8, 0.9, 1.0)] == pytest.approx([2.0, 2.0, 1.0, 0.5, 0.0])


def test_without_warm_up_or_decay() -> None:
    assert at(0, 0.0, warmup_steps=0) == 2.0
    assert at(500, 1.0, decay_share=0.0) == 2.0


@given(
    step=st.integers(0, 10**6),
    progress=st.floats(0.0, 2.0),
    warmup_steps=st.integers(0, 1000),
    decay_share=st.floats(0.0, 1.0),
)
def test_never_above_the_peak_nor_below_zero(step: int, progress: float, warmup_steps: int, decay_share: float) -> None:
    assert 0.0 <= at(step, progress, warmup_steps=warmup_steps, decay_share=decay_share) <= 2.0


def test_matrices_decay_norms_and_embedding_do_not() -> None:
    model = tiny_transformer(tiny_config()).requires_grad_(True)
    decayed, rest = optimizer(model, weight_decay=0.1).param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kept = {names[id(parameter)] for parameter in rest["params"]}
    assert kept == {name for name in names.values() if "norm" in name or "embedding" in name}
    assert len(decayed["params"]) + len(kept) == len(names)
