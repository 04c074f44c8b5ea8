"""The wait before the model is asked, with a clock that is set by hand."""

from __future__ import annotations

from diffill.lsp_server.typing_rhythm import TypingRhythm


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def typed(gap: float, keys: int = 20) -> tuple[TypingRhythm, Clock]:
    clock = Clock()
    rhythm = TypingRhythm(clock)
    for _ in range(keys):
        clock.now += gap
        rhythm.key()
    return rhythm, clock


def test_it_waits_longer_for_who_types_slowly() -> None:
    fast, _ = typed(0.08)
    slow, _ = typed(0.3)
    assert fast.typical_gap < slow.typical_gap
    assert 0 < fast.wait("na") < slow.wait("na") <= 0.5


def test_behind_a_bracket_it_waits_less_than_within_a_word() -> None:
    rhythm, _ = typed(0.2)
    assert rhythm.wait("foo(") < rhythm.wait("foo")


def test_what_the_model_and_the_editor_take_is_not_waited_again() -> None:
    rhythm, clock = typed(0.2)
    whole = rhythm.wait("foo")
    rhythm.answered(0.2)
    assert rhythm.wait("foo") < whole
    clock.now += 0.5  # the editor's own delay
    assert rhythm.wait("foo") == 0


def test_pauses_to_think_do_not_count() -> None:
    rhythm, clock = typed(0.1)
    before = rhythm.typical_gap
    for _ in range(20):
        clock.now += 30
        rhythm.key()
    assert rhythm.typical_gap == before


def test_without_keys_it_knows_what_is_usual() -> None:
    assert 0 <= TypingRhythm(Clock()).wait("x") <= 0.5


def test_who_types_fast_is_still_asked_for_in_pauses() -> None:
    rhythm, clock = typed(0.3, keys=4)
    assert not rhythm.is_asked_after_keys
    for _ in range(3):  # Neovim asks once no key came for 200 ms
        clock.now += 0.2
        rhythm.asked()
        for gap in (0.2, 0.1, 0.1, 0.1):
            clock.now += gap
            rhythm.key()
    assert rhythm.is_asked_after_keys
    for _ in range(3):
        clock.now += 0.3  # nobody asks
        rhythm.key()
    assert not rhythm.is_asked_after_keys
