"""Strict verification: the same tokens as plain decoding, in fewer passes when drafts are right."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.cache import KVCache
from diffill.model.decoding import MODES, Answer, Snapshot
from diffill.model.decoding.answer import Refusal
from diffill.model.decoding.verify import accept
from diffill.model.network import Network, Prediction
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS
from tests.scripted_network import ScriptedNetwork, Text, alone, as_network
from tests.tiny import VOCABULARY_SIZE, tiny_config, tiny_network

PROMPT = [30, 31, 32, 33]
NEWLINE = 99
ENDS_LINE = np.arange(VOCABULARY_SIZE) == NEWLINE


def decode(
    mode: str,
    network: Network,
    prompt: list[int],
    *,
    max_tokens: int = 12,
    ends_line: np.ndarray | None = None,
    refused_first: torch.Tensor | None = None,
) -> tuple[Answer, list[Snapshot], KVCache]:
    cache = network.new_cache()
    if prompt[:-1]:
        network.step(cache, prompt[:-1])
        cache.keep(prompt[:-1])
    refused = {} if refused_first is None else {0: Refusal(refused_first)}
    answer = Answer(max_tokens=max_tokens, ends_line=ends_line, refused=refused)
    return answer, alone(network, MODES[mode](network, cache, prompt[-1], answer)), cache


def continues(continuation: list[int]) -> Callable[[Text], int]:
    """Whatever was said, the next token is that of `continuation` at this place; then END_OF_MIDDLE for ever."""

    def next_token(text: Text) -> int:
        place = len(text) - len(PROMPT)
        return continuation[place] if 0 <= place < len(continuation) else END_OF_MIDDLE

    return next_token


@pytest.mark.parametrize("draft_size", [0, 1, 2, 3])
def test_same_tokens_as_plain_decoding(draft_size: int) -> None:
    """int8 weights, random prompts of many lengths."""
    network = tiny_network(tiny_config(draft_size=draft_size, draft_threshold=0.01))  # most drafts are checked
    generator = random.Random(draft_size)
    seen = set()
    for _ in range(50):
        prompt = [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(generator.randint(1, 60))]
        plain, snapshots, _ = decode("ar", network, prompt, max_tokens=8)
        checked, _, _ = decode("verify", network, prompt, max_tokens=8)
        assert checked.tokens == plain.tokens
        assert checked.finish == plain.finish
        assert checked.log_probability == plain.log_probability
        assert len(snapshots) == plain.rounds == len(plain.log_probability)
        seen.update(plain.tokens)
    assert len(seen) > 50, "a model that repeats itself would prove little"


@settings(max_examples=200, deadline=None)
@given(
    continuation=st.lists(st.integers(40, 120), max_size=20),
    right=st.lists(st.booleans(), min_size=1, max_size=12),
    draft_size=st.integers(1, 4),
    max_tokens=st.integers(1, 16),
    by_line=st.booleans(),
)
def test_whatever_is_drafted_the_answer_is_the_same(
    continuation: list[int], right: list[bool], draft_size: int, max_tokens: int, by_line: bool
) -> None:
    config = tiny_config(draft_size=draft_size)

    def draft_is_right(text: Text, place: int) -> bool:
        return right[(len(text) + 3 * place) % len(right)]

    scripted = as_network(ScriptedNetwork(config, continues(continuation), draft_is_right=draft_is_right))
    ends_line = ENDS_LINE if by_line else None
    plain, _, _ = decode("ar", scripted, PROMPT, max_tokens=max_tokens, ends_line=ends_line)
    checked, snapshots, cache = decode("verify", scripted, PROMPT, max_tokens=max_tokens, ends_line=ends_line)
    assert checked.tokens == plain.tokens
    assert checked.finish == plain.finish
    assert checked.rounds == len(snapshots) <= plain.rounds

    # The cache holds what was said, nothing that was refused.
    said = [*PROMPT, *continuation, *[END_OF_MIDDLE] * 40]
    assert cache.tokens == said[: cache.length]
    # What a person watched is what came out, at the places it came out.
    watched: list[int] = []
    for snapshot in snapshots:
        assert snapshot.start == len(watched)
        assert len(snapshot.tokens) == len(snapshot.confidence)
        watched += snapshot.tokens
    assert watched == [*checked.tokens, *([END_OF_MIDDLE] if checked.finish == "eom" else [])]


@pytest.mark.parametrize("accepted", [0, 1, 2, 3])
def test_passes_when_so_many_drafts_are_right(accepted: int) -> None:
    """Each pass gives the accepted drafts and one token of the causal head; the first pass has no draft to accept."""
    scripted = ScriptedNetwork(
        tiny_config(draft_size=3),
        continues(list(range(40, 80))),
        draft_is_right=lambda text, place: place <= accepted,  # place 0 stands where the causal head decides
    )
    answer, snapshots, _ = decode("verify", as_network(scripted), PROMPT, max_tokens=1 + 4 * (accepted + 1))
    assert [len(snapshot.tokens) for snapshot in snapshots] == [1, *[accepted + 1] * 4]
    assert answer.tokens == list(range(40, 40 + len(answer.tokens)))


@pytest.mark.parametrize("log_probability, checked", [(-0.5, 3), (-3.0, 0)])
def test_drafts_that_the_block_doubts_are_not_checked(log_probability: float, checked: int) -> None:
    scripted = ScriptedNetwork(
        tiny_config(draft_size=3, draft_threshold=0.3), continues(list(range(40, 80))), log_probability=log_probability
    )
    answer, _, _ = decode("verify", as_network(scripted), PROMPT, max_tokens=9)
    assert answer.tokens == list(range(40, 49))
    assert [len(clean) - 1 for _, clean, _ in scripted.steps[2:]] == [checked] * (len(scripted.steps) - 2)


def test_a_block_that_expected_another_token_drafts_nothing() -> None:
    scripted = ScriptedNetwork(
        tiny_config(draft_size=3), continues([40, 41, 42, 43]), draft_is_right=lambda text, place: place > 0
    )
    answer, _, _ = decode("verify", as_network(scripted), PROMPT)
    assert answer.tokens == [40, 41, 42, 43]
    assert all(len(clean) == 1 for _, clean, _ in scripted.steps[1:])


def test_a_step_is_the_draft_and_a_block_for_every_outcome() -> None:
    scripted = ScriptedNetwork(tiny_config(draft_size=2), continues([40, 41, 42, 43, 44, 45]))
    decode("verify", as_network(scripted), PROMPT, max_tokens=4)
    _prompt, first, second = scripted.steps
    held, clean, blocks = first
    assert (held, clean) == (tuple(PROMPT[:-1]), (PROMPT[-1],))
    assert [(block.tokens, block.before) for block in blocks] == [((MASK,) * 3, 1)]
    held, clean, blocks = second
    assert (held, clean) == (tuple(PROMPT), (40, 41, 42))
    assert [block.before for block in blocks] == [1, 2, 3]


def test_drafts_end_where_the_block_doubts() -> None:
    """A rejected draft is paid for, so one that is hardly believed is not checked, nor is anything behind it."""
    scripted = ScriptedNetwork(
        tiny_config(draft_size=3, draft_threshold=0.3),
        continues(list(range(40, 60))),
        draft_log_probability=lambda text, place: log(0.29 if place == 2 else 0.31),
    )
    decode("verify", as_network(scripted), PROMPT, max_tokens=6)
    assert [clean for _, clean, _ in scripted.steps[1:]] == [(33,), (40, 41), (42, 43), (44, 45)]


def test_no_draft_is_checked_that_belongs_to_another_text() -> None:
    scripted = ScriptedNetwork(
        tiny_config(draft_size=3), continues(list(range(40, 60))), draft_is_right=lambda text, place: place != 0
    )
    answer, _, _ = decode("verify", as_network(scripted), PROMPT, max_tokens=3)
    assert answer.tokens == [40, 41, 42]
    assert [clean for _, clean, _ in scripted.steps[1:]] == [(33,), (40,), (41,)]


def test_what_stood_behind_the_same_text_is_drafted_again() -> None:
    """40 41 42 43 comes twice: from the second 40 41 on, the text drafts itself, and no block stands in its way."""
    text = [40, 41, 42, 43, 50, 40, 41, 42, 43, 60]
    scripted = ScriptedNetwork(tiny_config(draft_size=0), continues(text))
    answer, _, _ = decode("verify", as_network(scripted), PROMPT)
    assert answer.tokens == text
    steps = [(clean, len(blocks)) for _, clean, blocks in scripted.steps[1:]]
    plain = [((token,), 0) for token in (PROMPT[-1], *text[:5])]
    assert steps == [*plain, ((40, 41), 0), ((42, 43, 50, 40), 0), ((60,), 0)]


def test_a_copied_draft_has_one_block_behind_its_end() -> None:
    scripted = ScriptedNetwork(
        tiny_config(draft_size=2), continues([40, 41] * 4), draft_is_right=lambda text, place: False
    )
    decode("verify", as_network(scripted), PROMPT, max_tokens=7)
    copied = [(clean, blocks) for _, clean, blocks in scripted.steps[1:] if len(clean) > 1]
    assert [clean for clean, _ in copied] == [(40, 41), (40, 41)]
    assert all([block.before for block in blocks] == [len(clean)] for clean, blocks in copied)


def test_nothing_is_copied_where_it_is_switched_off() -> None:
    scripted = ScriptedNetwork(tiny_config(draft_size=0, copied_draft=0), continues([40, 41] * 5))
    decode("verify", as_network(scripted), PROMPT, max_tokens=10)
    assert all(len(clean) == 1 and not blocks for _, clean, blocks in scripted.steps[1:])


def test_plain_decoding_is_one_token_a_pass() -> None:
    scripted = ScriptedNetwork(tiny_config(), continues([40, 41]))
    answer, snapshots, cache = decode("ar", as_network(scripted), PROMPT)
    assert (answer.tokens, answer.finish, answer.rounds) == ([40, 41], "eom", 3)
    watched = [(snapshot.start, snapshot.tokens) for snapshot in snapshots]
    assert watched == [(0, (40,)), (1, (41,)), (2, (END_OF_MIDDLE,))]
    assert cache.tokens == [*PROMPT, 40, 41]
    assert all(len(clean) == 1 and not blocks for _, clean, blocks in scripted.steps[1:])


@pytest.mark.parametrize("mode", ["ar", "verify", "diffusion"])
def test_an_answer_may_be_empty(mode: str) -> None:
    answer, snapshots, _ = decode(mode, as_network(ScriptedNetwork(tiny_config(), continues([]))), PROMPT)
    assert (answer.tokens, answer.finish, len(snapshots)) == ([], "eom", 1)
    assert answer.score == -0.5


@pytest.mark.parametrize("mode", ["ar", "verify", "diffusion"])
def test_the_first_token_is_one_that_may_stand_there(mode: str) -> None:
    """With a real network: its own choice is refused at the first place, and only there."""
    network = tiny_network(tiny_config())
    free, _, _ = decode(mode, network, PROMPT, max_tokens=6)
    refused = torch.zeros(network.config.vocabulary_size, dtype=torch.bool)
    refused[free.tokens[0]] = True
    answer, _, _ = decode(mode, network, PROMPT, max_tokens=6, refused_first=refused)
    assert answer.tokens[0] != free.tokens[0]
    if mode == "verify":
        plain, _, _ = decode("ar", network, PROMPT, max_tokens=6, refused_first=refused)
        assert (answer.tokens, answer.log_probability) == (plain.tokens, plain.log_probability)


@pytest.mark.parametrize(("share", "wanted"), [(None, [40, 41, 42]), (0.5, [40, 51, 42]), (0.9, [40, 41, 42])])
def test_relaxed_acceptance_takes_a_draft_that_is_nearly_as_likely(share: float | None, wanted: list[int]) -> None:
    """The causal head says 40 41 42 and would say 51 with 0.7 of the probability of 41."""
    checked = Prediction(
        [40, 41, 42], [log(0.5)] * 3, runners_up=[[(50, log(0.1))], [(51, log(0.35)), (52, log(0.1))], [(53, log(0.1))]]
    )
    answer = Answer(max_tokens=9, ends_line=None)
    accepted, snapshot = accept([40, 51], checked, answer, share=share)
    assert snapshot.tokens == tuple(answer.tokens) == tuple(wanted[: accepted + 1])
    assert accepted == (2 if share == 0.5 else 1)
    if share == 0.5:
        assert answer.log_probability == pytest.approx([log(0.5), log(0.35), log(0.5)])
