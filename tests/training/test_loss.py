"""The joint loss against one that runs every document and every block alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

from diffill.model.masks import dense_mask, flex_mask
from diffill.model.tokenizer import MASK
from diffill.model.transformer import Transformer, masked_attention
from diffill.training import loss
from diffill.training.batch import Batch, normalised
from diffill.training.compilation import compile_layers
from diffill.training.corruption import CorruptionConfig, corrupt
from diffill.training.cross_entropy import Teacher, linear_cross_entropy
from diffill.training.loss import hidden_states, joint_loss
from diffill.training.packing import take
from tests.tiny import tiny_config, tiny_transformer
from tests.training.packed import random_rows

SIZE = 4
CORRUPTION = CorruptionConfig(block_size=SIZE, noisy_length=32, substitute=0.5, substitute_rate=0.5)


def batch_of(seed: int = 0) -> Batch:
    rows = random_rows(seed, length=80, examples=9, longest=14)
    return normalised([corrupt(rows, CORRUPTION, np.random.default_rng(seed))])[0]


def model() -> Transformer:
    return tiny_transformer(tiny_config()).requires_grad_(True)


def cross_entropy(network: Transformer, states: Tensor, target: Tensor) -> Tensor:
    logits = network.logits(states)
    logits[:, MASK] = -torch.inf
    return F.cross_entropy(logits, target, reduction="none")


def alone(network: Transformer, tokens: Tensor, noisy: int) -> Tensor:
    """States of one document's beginning, causal, with `noisy` tokens at its end that see it and each other."""
    length = len(tokens)
    mask = torch.ones(length, length, dtype=torch.bool).tril()
    if noisy:
        mask[-noisy:] = True
    states: Tensor = network(tokens[None], torch.arange(length)[None], masked_attention(mask[None, None]))[0]
    return states


def slow_loss(network: Transformer, batch: Batch) -> tuple[float, float]:
    """Causal and denoising loss, in nats a token."""
    sums, weights = {"causal": 0.0, "denoising": 0.0}, {"causal": 0.0, "denoising": 0.0}

    def add(kind: str, states: Tensor, target: Tensor, weight: Tensor) -> None:
        sums[kind] += float((cross_entropy(network, states, target) * weight).sum())
        weights[kind] += float(weight.sum())

    for row in range(len(batch.tokens)):
        document = batch.layout.document[row, : batch.clean_length]
        for number in range(int(document.max()) + 1):
            inside = (document == number).nonzero()[:, 0]
            states = alone(network, batch.tokens[row, inside], 0)
            add("causal", states, batch.target[row, inside], batch.weight[row, inside])
        for at in range(batch.clean_length, batch.tokens.shape[1], SIZE):
            block = torch.arange(at, at + SIZE)
            start = int(batch.layout.order[row, at])
            before = (document == document[start]) & (torch.arange(batch.clean_length) < start)
            tokens = torch.cat([batch.tokens[row, : batch.clean_length][before], batch.tokens[row, block]])
            states = alone(network, tokens, SIZE)[-SIZE:]
            add("denoising", states, batch.target[row, block], batch.weight[row, block])
    return sums["causal"] / weights["causal"], sums["denoising"] / weights["denoising"]


@pytest.mark.parametrize("seed", range(3))
def test_one_pass_is_as_many_passes(seed: int) -> None:
    network, batch = model(), batch_of(seed)
    with torch.no_grad():
        losses = joint_loss(network, batch, denoising_weight=0.5)
        causal, denoising = slow_loss(network, batch)
    assert float(losses.parts["causal"]) == pytest.approx(causal, rel=1e-4)
    assert float(losses.parts["denoising"]) == pytest.approx(denoising, rel=1e-4)
    assert float(losses.total) == pytest.approx(causal + 0.5 * denoising, rel=1e-4)


@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "bf16"])
def test_every_weight_gets_a_finite_gradient(autocast: bool) -> None:
    network = model()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = joint_loss(network, batch_of())
    losses.total.backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_both_losses_fall_along_the_gradient() -> None:
    network, batch = model(), batch_of()
    before = joint_loss(network, batch)
    before.total.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter -= 1e-3 * parameter.grad
        after = joint_loss(network, batch)
    assert float(after.parts["causal"]) < float(before.parts["causal"])
    assert float(after.parts["denoising"]) < float(before.parts["denoising"])


def test_the_causal_head_teaches_the_noisy_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A noisy token learns from the clean one just before what it stands for; where there is none, from none."""
    network, batch = model(), batch_of()
    lessons: list[Teacher] = []

    def spy(*arguments: Any, teacher: Teacher | None, **options: Any) -> tuple[Tensor, Tensor]:
        if teacher is not None:
            lessons.append(teacher)
        return linear_cross_entropy(*arguments, teacher=teacher, **options)

    monkeypatch.setattr(loss, "linear_cross_entropy", spy)
    with torch.no_grad():
        hidden = loss.stream_states(network, batch)
        joint_loss(network, batch, lambda *_: hidden, self_distillation=0.4)
    [lesson] = lessons
    clean, length = batch.clean_length, batch.tokens.shape[1]
    noisy = [place for place in batch.learned.tolist() if place % length >= clean]
    assert len(lesson.share) == len(noisy)
    taught = 0
    for place, states, share in zip(noisy, lesson.states, lesson.share.tolist(), strict=True):
        row, column = divmod(place, length)
        start = int(batch.layout.order[row, column])
        first = clean + next(
            at for at, block in enumerate(batch.layout.block[row, clean:]) if block == batch.layout.block[row, column]
        )
        before = start + column - first - 1
        same = 0 <= before < clean and batch.layout.document[row, before] == batch.layout.document[row, column]
        if not same or batch.target[row, before] != batch.target[row, column]:
            assert share == 0.0
            continue
        taught += 1
        assert share == pytest.approx(0.4)
        torch.testing.assert_close(states, hidden[row, before])
    assert 0 < taught < len(noisy), "the rows hold both kinds"


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_same_states() -> None:
    """The form that runs on an accelerator."""
    network, batch = model(), batch_of()
    with torch.no_grad():
        dense = hidden_states(network, batch.tokens, batch.positions, dense_mask(batch.layout))
        flexible = hidden_states(network, batch.tokens, batch.positions, flex_mask(batch.layout))
    torch.testing.assert_close(flexible, dense, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_one_compilation_serves_every_layer_and_batch() -> None:
    """What a compiled layer takes from a mask is the mask it is given, not the first one it saw.

    The compiler's front end runs as on an accelerator; its back end here runs the captured graph as it is.
    """
    network = model().requires_grad_(False)
    graphs = CompileCounterWithBackend("eager")
    compiled = model().requires_grad_(False)
    compile_layers(compiled, backend=graphs)
    rows = random_rows(3, length=80, examples=40, longest=14)
    for step in range(3):
        batch = corrupt(take(rows, slice(2 * step, 2 * step + 2)), CORRUPTION, np.random.default_rng(step))
        dense = hidden_states(network, batch.tokens, batch.positions, dense_mask(batch.layout))
        flexible = hidden_states(compiled, batch.tokens, batch.positions, flex_mask(batch.layout))
        torch.testing.assert_close(flexible, dense, rtol=1e-4, atol=1e-4)
    assert graphs.frame_count == 1
