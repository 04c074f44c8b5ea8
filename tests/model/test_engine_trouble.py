"""The decoder without memory, with numbers that are none, without a device: who loses an answer, and who does not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from diffill.model.cache import CacheFull, PagePool
from diffill.model.decoding_turn import DeviceLost
from diffill.model.network import NotFinite, Part
from tests.tiny import text
from tests.tiny_decoder import NETWORK, finish, new_decoder, prompt_of, request_of, said

pytestmark = pytest.mark.usefixtures("one_thread")


def test_out_of_memory_shrinks_the_cache_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(70, 1), text(20, 1)))
    alone = said(new_decoder().decode(wanted))
    capacity, run, calls = decoder.pool.capacity, NETWORK.run, iter(range(100))

    def scarce(parts: Sequence[Part]) -> list[torch.Tensor]:
        if next(calls) == 2:
            raise torch.OutOfMemoryError("PRIVATE")
        return run(parts)

    monkeypatch.setattr(NETWORK, "run", scarce)
    assert said(decoder.decode(wanted)) == alone
    assert decoder.pool.capacity == capacity // 2


def test_out_of_memory_for_good_ends_the_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(70, 1), text(20, 1)))

    def none(parts: Sequence[Part]) -> list[torch.Tensor]:
        raise torch.OutOfMemoryError("PRIVATE")

    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "run", none)
        with pytest.raises(MemoryError, match="no memory for this request"):
            decoder.decode(wanted)
    assert said(decoder.decode(wanted)) == said(new_decoder().decode(wanted))


def test_a_request_that_never_fits_is_refused() -> None:
    decoder = new_decoder()
    decoder.pool = PagePool(NETWORK.new_storage, capacity=2)
    with pytest.raises(CacheFull, match="all 2 pages"):
        decoder.decode(request_of(prompt_of(text(90, 1), [])))


def test_broken_numbers_end_the_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    good, bad = (request_of(prompt_of(text(30, seed), [])) for seed in (1, 2))
    run = NETWORK.run

    def broken(parts: Sequence[Part]) -> list[torch.Tensor]:
        states = run(parts)
        states[-1] = torch.full_like(states[-1], torch.nan)
        return states

    decodings = [decoder.begin(good), decoder.begin(bad)]
    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "run", broken)
        while not decodings[1].over:
            decoder.advance(decodings)
    assert isinstance(decodings[1].error, NotFinite)
    assert said(finish(decoder, decodings[:1])[0]) == said(new_decoder().decode(good))


def test_broken_numbers_leave_nothing_behind_that_others_would_reuse(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = new_decoder()
    wanted = request_of(prompt_of(text(90, 1), text(40, 1)))
    run = NETWORK.run

    def broken(parts: Sequence[Part]) -> list[torch.Tensor]:
        states = run(parts)
        for part in parts:
            part.cache.storage.view(torch.uint8)[part.cache.pages[: part.cache.page_count]] = 0xFF  # not a number
        return [torch.full_like(state, torch.nan) for state in states]

    with monkeypatch.context() as patched:
        patched.setattr(NETWORK, "run", broken)
        with pytest.raises(NotFinite):
            decoder.decode(wanted)
    again = decoder.decode(wanted)
    assert again.cached_tokens == 0
    assert said(again) == said(new_decoder().decode(wanted))


@pytest.mark.parametrize("fault", [torch.AcceleratorError("unplugged"), torch.OutOfMemoryError("none left")], ids=repr)
def test_what_an_accelerator_cannot_go_on_from_is_a_lost_device(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    decoder = new_decoder()

    def gone(parts: Sequence[Part]) -> list[torch.Tensor]:
        raise fault

    monkeypatch.setattr(NETWORK, "device", torch.device("cuda"))
    monkeypatch.setattr(NETWORK, "run", gone)
    with pytest.raises(DeviceLost, match=r"unplugged|no memory left"):
        decoder.decode(request_of(text(30, 1)))
