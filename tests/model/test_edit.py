"""Revising a draft: `verify` is `ar` in fewer passes, `diffusion` follows labels, and both end whatever is said."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffill.model.cache import KVCache
from diffill.model.decoding import EDIT_MODES, Answer, Snapshot
from diffill.model.decoding.draft import Draft
from diffill.model.engine import BlockDecoder
from diffill.model.network import Block, Network, Prediction
from diffill.model.request import DecodeRequest, Mode, ModelInfo, pack_ids
from diffill.model.threads import FreeCores
from diffill.model.tokenizer import DELETE, END_OF_MIDDLE, INSERT, MASK, NUM_CONTROL_IDS, UPDATED
from diffill.training.alignment import edit_labels
from tests.scripted_network import alone, empty_pool
from tests.tiny import VOCABULARY_SIZE, tiny_config, tiny_network, tiny_tokenizer

PROMPT = [30, 31, 32, UPDATED]
CERTAIN, UNSURE = log(0.95), log(0.2)
text = st.lists(st.integers(40, 44), max_size=14)


def decode(
    mode: Any, network: Any, draft: Sequence[int], *, prompt: list[int] = PROMPT, max_tokens: int = 60
) -> tuple[Answer, list[Snapshot]]:
    cache = network.new_cache()
    if prompt[:-1]:
        network.step(cache, prompt[:-1])
        cache.keep(prompt[:-1])
    answer = Answer(max_tokens=max_tokens, ends_line=None)
    return answer, alone(network, EDIT_MODES[mode](network, cache, prompt[-1], answer, draft))


class Editor:
    """Knows the updated text: the causal head says it, and labels of a window lead to it."""

    def __init__(
        self, updated: Sequence[int], *, block_size: int = 4, certainty: float = CERTAIN, edit_threshold: float = 0.5
    ) -> None:
        self.updated, self.certainty = list(updated), certainty
        self.config = tiny_config(block_size=block_size, edit_threshold=edit_threshold)
        self.windows: list[tuple[int, ...]] = []

    def new_cache(self) -> KVCache:
        return empty_pool().open([])

    def step(self, cache: KVCache, clean: Sequence[int], blocks: Sequence[Block] = ()) -> Tensor:
        cache.reserve(len(clean))
        held = len(cache.tokens) + len(clean) - len(PROMPT)  # of the answer, in front of a block
        rows = [(self._token(held - len(clean) + 1 + index), self.certainty) for index in range(len(clean))]
        for block in blocks:
            self.windows.append(block.tokens)
            rows += [(label, self.certainty) for label in self.labels(block.tokens, held)]
        return torch.tensor(rows, dtype=torch.float64)

    def labels(self, window: tuple[int, ...], held: int) -> list[int]:
        rest = [self._token(held + index) for index in range(len(self.updated) + len(window) + 1)]
        labels: list[int] = edit_labels(np.array([window]), np.array([rest]))[0].tolist()
        return labels

    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        return Prediction([int(token) for token in states[:, 0]], states[:, 1].tolist())

    def _token(self, place: int) -> int:
        return self.updated[place] if 0 <= place < len(self.updated) else END_OF_MIDDLE


@pytest.mark.parametrize("draft_kind", ["answer", "damaged", "unrelated", "empty"])
def test_verify_says_what_ar_says(draft_kind: str) -> None:
    """int8 weights, random prompts, drafts from right to useless: bits equal, never more passes."""
    network = tiny_network(tiny_config())
    generator = random.Random(draft_kind)
    saved = 0
    for _ in range(25):
        prompt = [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(generator.randint(1, 40))]
        plain, passes = decode("ar", network, [], prompt=prompt, max_tokens=30)
        unrelated = [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(30)]
        damaged = [token if generator.random() < 0.9 else unrelated[0] for token in plain.tokens]
        del damaged[10:12]
        draft = {"answer": plain.tokens, "damaged": damaged, "unrelated": unrelated, "empty": []}[draft_kind]
        checked, snapshots = decode("verify", network, draft, prompt=prompt, max_tokens=30)
        assert checked.tokens == plain.tokens
        assert checked.finish == plain.finish
        assert checked.log_probability == plain.log_probability
        assert [token for snapshot in snapshots for token in snapshot.tokens if token != END_OF_MIDDLE] == plain.tokens
        assert len(snapshots) <= len(passes)
        saved += len(passes) - len(snapshots)
        if draft_kind == "answer":
            assert len(snapshots) <= 2
    assert (saved > 0) == (draft_kind in ("answer", "damaged")) or draft_kind == "unrelated"


@settings(max_examples=200, deadline=None)
@given(original=text, updated=text, max_tokens=st.integers(1, 20))
def test_every_mode_arrives_at_the_updated_text(original: list[int], updated: list[int], max_tokens: int) -> None:
    """A network that is always right, and any two texts."""
    for mode in ("ar", "verify", "diffusion"):
        answer, snapshots = decode(mode, Editor(updated), original, max_tokens=max_tokens)
        assert answer.tokens == updated[:max_tokens]
        assert answer.finish == ("eom" if len(updated) < max_tokens else "length")
        assert len(snapshots) == answer.rounds


def test_what_needs_no_change_is_read_through() -> None:
    original = list(range(40, 88))
    for mode, passes in (("ar", 49), ("verify", 2), ("diffusion", 13)):
        answer, snapshots = decode(mode, Editor(original), original)
        assert answer.tokens == original
        assert len(snapshots) == passes


@pytest.mark.parametrize(
    "original, updated, windows",
    [
        ([40, 41, 42], [40, 41, 42], [(40, 41, 42, END_OF_MIDDLE)]),
        ([40, 50, 42], [40, 41, 42], [(40, 50, 42, END_OF_MIDDLE)]),
        (
            [40, 50, 41],
            [40, 41],
            [(40, 50, 41, END_OF_MIDDLE)],
        ),
        ([40, 42], [40, 41, 42], [(40, 42, END_OF_MIDDLE, END_OF_MIDDLE), (40, MASK, 42, END_OF_MIDDLE)]),
        ([40], [40, 41], [(40, END_OF_MIDDLE, END_OF_MIDDLE, END_OF_MIDDLE), (40, MASK, *[END_OF_MIDDLE] * 2)]),
    ],
    ids=["keep", "substitute", "delete", "insert", "insert-at-the-end"],
)
def test_what_each_label_does(original: list[int], updated: list[int], windows: list[tuple[int, ...]]) -> None:
    editor = Editor(updated)
    answer, snapshots = decode("diffusion", editor, original)
    assert answer.tokens == updated
    assert editor.windows == windows
    assert len(snapshots) == len(windows), "a substitution or a deletion takes no pass more than the text itself"


def test_what_slides_into_the_window_is_looked_at() -> None:
    editor = Editor([40, 42, 43, 49, 45], block_size=4)
    answer, _ = decode("diffusion", editor, [40, 41, 42, 43, 44, 45])
    assert answer.tokens == [40, 42, 43, 49, 45]
    assert editor.windows[:2] == [(40, 41, 42, 43), (40, 42, 43, 44)]


def test_a_doubtful_label_changes_nothing() -> None:
    answer, snapshots = decode("diffusion", Editor([41, 42], certainty=UNSURE), [40, 42])
    assert (answer.tokens, len(snapshots)) == ([40, 42], 1)


def test_control_ids_in_a_draft_are_no_text() -> None:
    answer, _ = decode("diffusion", Editor([40, 41], certainty=UNSURE), [40, MASK, UPDATED, END_OF_MIDDLE, 41])
    assert answer.tokens == [40, 41]


class Restless(Editor):
    """Opens a place before the first token again and again."""

    def labels(self, window: tuple[int, ...], held: int) -> list[int]:
        return [INSERT, *[40] * (len(window) - 1)]


def test_what_does_not_settle_is_finished_causally() -> None:
    editor = Restless([41, 42, 43], block_size=8)
    answer, snapshots = decode("diffusion", editor, [41, 42, 43])
    assert answer.tokens == [41, 42, 43]
    assert len(editor.windows) == 4, "half as many passes as the window has places"
    assert len(snapshots) - len(editor.windows) == 1


def test_weights_without_the_edit_stage_check_the_draft_instead() -> None:
    editor = Editor([40, 41, 42])
    editor.config = tiny_config()
    answer, snapshots = decode("diffusion", editor, [40, 41, 42])
    assert (answer.tokens, len(snapshots), editor.windows) == ([40, 41, 42], 1, [])


class Noise(Editor):
    """Says anything."""

    def __init__(self, seed: int) -> None:
        super().__init__([], block_size=1 + seed % 8)
        self._random = random.Random(seed)

    def step(self, cache: KVCache, clean: Sequence[int], blocks: Sequence[Block] = ()) -> Tensor:
        cache.reserve(len(clean))
        rows = len(clean) + sum(len(block.tokens) for block in blocks)
        said = [40, 41, 42, *([END_OF_MIDDLE] if self._random.random() < 0.5 else []), DELETE, INSERT]
        return torch.tensor(
            [[self._random.choice(said), log(self._random.choice([0.2, 0.6, 0.95]))] for _ in range(rows)],
            dtype=torch.float64,
        )

    def predict(
        self, states: Tensor, refused_first: Tensor | None = None, choices: int = 1, *, labels: bool = False
    ) -> Prediction:
        tokens = [int(token) for token in states[:, 0]]
        return Prediction(
            tokens if labels else [40 if token in (DELETE, INSERT) else token for token in tokens],
            states[:, 1].tolist(),
        )


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10**6), original=text, max_tokens=st.integers(1, 30))
def test_whatever_is_said_it_ends_with_text(seed: int, original: list[int], max_tokens: int) -> None:
    answer, snapshots = decode("diffusion", Noise(seed), original, max_tokens=max_tokens)
    assert answer.finish is not None
    assert len(answer.tokens) <= max_tokens
    assert all(token >= NUM_CONTROL_IDS for token in answer.tokens)
    assert len(snapshots) <= 8 * (max_tokens + 2)


def test_with_a_real_network_diffusion_ends_too() -> None:
    generator = random.Random(0)
    for seed in range(6):
        network: Network = tiny_network(tiny_config(block_size=4, edit_threshold=0.01, threshold=0.3), seed)
        draft = [generator.randrange(NUM_CONTROL_IDS, VOCABULARY_SIZE) for _ in range(12)]
        answer, _ = decode("diffusion", network, draft, max_tokens=16)
        assert answer.finish is not None
        assert all(token >= NUM_CONTROL_IDS for token in answer.tokens)


@settings(max_examples=200, deadline=None)
@given(original=text, answer=text)
def test_the_draft_goes_on_behind_its_nearest_beginning(original: list[int], answer: list[int]) -> None:
    draft = Draft(original)
    for token in answer:
        draft.follow(token)
    nearest = min(_distance(answer, original[:end]) for end in range(len(original) + 1))
    place = len(original) - len(draft.rest)
    assert original[place:] == draft.rest
    assert _distance(answer, original[:place]) == nearest


def test_the_draft_is_taken_up_behind_each_kind_of_difference() -> None:
    original = list(range(40, 50))
    for answer, place in (([40, 41], 2), ([40, 99], 2), ([40, 99, 41], 2), ([40, 42], 3), ([40, 98, 99, 41, 42], 3)):
        draft = Draft(original)
        for token in answer:
            draft.follow(token)
        assert draft.rest == original[place:]


def _distance(first: Sequence[int], second: Sequence[int]) -> int:
    """The textbook's edit distance."""
    row = list(range(len(second) + 1))
    for index, token in enumerate(first, start=1):
        before, row = row, [index]
        for at, other in enumerate(second):
            row.append(min(row[-1] + 1, before[at + 1] + 1, before[at] + (token != other)))
    return row[-1]


@pytest.mark.parametrize("mode", ["ar", "verify", "diffusion"])
def test_a_request_with_a_draft_through_the_decoder(mode: Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passes tell that the draft was used; candidates take the draft up where they part."""
    monkeypatch.setattr(FreeCores, "count", lambda self: 1)
    network = tiny_network(tiny_config())
    info = ModelInfo(
        name="tiny", hash="", adapter=None, device="cpu", vocabulary_size=VOCABULARY_SIZE, block_size=8, parameters=1
    )
    decoder = BlockDecoder(network, tokenizer=tiny_tokenizer(), info=info)
    plain = decoder.decode(DecodeRequest(prompt=pack_ids(PROMPT), mode="ar", max_tokens=20, candidates=3))
    request = DecodeRequest(prompt=pack_ids(PROMPT), mode=mode, max_tokens=20, draft=plain.tokens, candidates=3)
    result = decoder.decode(request)
    assert result.tokens == plain.tokens
    assert result.alternatives == plain.alternatives
    assert (result.forward_passes < plain.forward_passes) == (mode != "ar")
