"""The chunked head against torch's own cross-entropy over all logits."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diffill.training import cross_entropy
from diffill.training.cross_entropy import Teacher, linear_cross_entropy

FORBIDDEN = 3


def made(positions: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    states = torch.randn(positions, 8, generator=generator, requires_grad=True)
    head = torch.randn(29, 8, generator=generator, requires_grad=True)
    target = torch.randint(4, 29, (positions,), generator=generator)
    weight = torch.rand(positions, generator=generator)
    return states, head, target, weight


def plain(states: Tensor, head: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    logits = (states @ head.T).index_fill(1, torch.tensor([FORBIDDEN]), -torch.inf)
    nats = F.cross_entropy(logits, target, reduction="none")
    return (nats * weight).sum(), nats


@pytest.mark.parametrize("positions", [1, 6, 7, 20, 21])
def test_values_and_gradients_are_the_plain_ones(monkeypatch: pytest.MonkeyPatch, positions: int) -> None:
    monkeypatch.setitem(cross_entropy.POSITIONS_PER_CHUNK, "cpu", 7)
    found, wanted = made(positions), made(positions)
    total, nats = linear_cross_entropy(*found, forbidden=FORBIDDEN)
    (0.3 * total).backward()  # type: ignore[no-untyped-call]
    plain_total, plain_nats = plain(*wanted)
    (0.3 * plain_total).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(total, plain_total)
    torch.testing.assert_close(nats, plain_nats)
    for one, other in zip(found[:2], wanted[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("positions", [1, 7, 20])
def test_a_teacher_mixes_its_distribution_into_the_target(monkeypatch: pytest.MonkeyPatch, positions: int) -> None:
    monkeypatch.setitem(cross_entropy.POSITIONS_PER_CHUNK, "cpu", 7)
    found, wanted = made(positions), made(positions)
    lesson = torch.randn(positions, 8, requires_grad=True)
    share = torch.linspace(0, 1, positions)
    total, nats = linear_cross_entropy(*found, forbidden=FORBIDDEN, teacher=Teacher(states=lesson, share=share))
    total.backward()  # type: ignore[no-untyped-call]
    states, head, target, weight = wanted
    taught = lesson.detach() @ head.detach().T
    taught[:, FORBIDDEN] = -torch.inf
    mixture = share[:, None] * taught.softmax(1) + (1 - share[:, None]) * F.one_hot(target, 29)
    logits = (states @ head.T).index_fill(1, torch.tensor([FORBIDDEN]), -1e4)  # finite, for zero times it
    plain_total = (F.cross_entropy(logits, mixture, reduction="none") * weight).sum()
    plain_total.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(total, plain_total)
    torch.testing.assert_close(nats, plain(*wanted)[1])
    assert lesson.grad is None, "the teacher does not learn from its pupil"
    for one, other in zip(found[:2], wanted[:2], strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_it_is_the_same() -> None:
    for teacher in (None, Teacher(states=torch.randn(20, 8), share=torch.rand(20))):
        found, wanted = made(20), made(20)
        for arguments, compiled in ((found, True), (wanted, False)):
            total, _ = linear_cross_entropy(*arguments, forbidden=FORBIDDEN, teacher=teacher, compiled=compiled)
            total.backward()  # type: ignore[no-untyped-call]
        for one, other in zip(found[:2], wanted[:2], strict=True):
            torch.testing.assert_close(one.grad, other.grad)


def test_few_shapes_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: set[torch.Size] = set()

    def seen(logits: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        shapes.add(logits.shape)
        return cross_entropy.chunk_loss(logits, *arguments)

    monkeypatch.setattr(cross_entropy, "POSITIONS_PER_CHUNK", {"cpu": 16})
    monkeypatch.setattr(cross_entropy, "_compiled_losses", lambda: (seen, seen))
    for positions in range(40):
        found, wanted = made(positions), made(positions)
        total, nats = linear_cross_entropy(*found, forbidden=FORBIDDEN, compiled=True)
        expected, expected_nats = plain(*wanted)
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(nats, expected_nats)
    assert len(shapes) <= 4


def test_under_autocast_it_is_as_good_as_bf16() -> None:
    found, wanted = made(40), made(40)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = linear_cross_entropy(*found, forbidden=FORBIDDEN)
    total.backward()  # type: ignore[no-untyped-call]
    plain_total, _ = plain(*wanted)
    plain_total.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(total, plain_total, rtol=1e-2, atol=0.0)
    for one, other in zip(found[:2], wanted[:2], strict=True):
        assert one.grad is not None and other.grad is not None
        assert one.grad.dtype == torch.float32
        assert float((one.grad - other.grad).norm() / other.grad.norm()) < 1e-2


def test_measuring_makes_no_gradients() -> None:
    states, head, target, weight = made(20)
    with torch.no_grad():
        total, nats = linear_cross_entropy(states, head, target, weight, forbidden=FORBIDDEN)
    assert not total.requires_grad and not nats.requires_grad


def test_nothing_to_learn_is_no_loss() -> None:
    states, head, target, weight = made(5)
    total, nats = linear_cross_entropy(states[:0], head, target[:0], weight[:0], forbidden=FORBIDDEN)
    assert total.item() == 0.0 and nats.shape == (0,)
