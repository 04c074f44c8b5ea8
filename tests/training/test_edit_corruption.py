"""Drafts of the edit stage: where they come from, what is wrong in them, and the label of every token."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffill.model.tokenizer import (
    DELETE,
    END_OF_MIDDLE,
    INSERT,
    INSTRUCTION,
    MASK,
    NUM_CONTROL_IDS,
    ORIGINAL,
    PREFIX,
    SUFFIX,
    UPDATED,
)
from diffill.training.batch import Batch
from diffill.training.edit_corruption import OWN_GUESS, EditCorruptionConfig, corrupt_drafts
from diffill.training.examples import Example
from diffill.training.packing import Rows, pack
from tests.training.packed import random_rows

SIZE = 4
QUIET = EditCorruptionConfig(block_size=SIZE, noisy_length=64, noise=0.0, at_least_one=0.0, masked=0.0)


def edit_rows(original: list[int], updated: list[int], *, length: int = 40) -> Rows:
    """One row with one edit of it."""
    prompt = [SUFFIX, 200, 201, PREFIX, 210, 211, INSTRUCTION, 220, ORIGINAL, *original, UPDATED]
    tokens = [*prompt, *updated, END_OF_MIDDLE]
    middle = [False] * len(prompt) + [True] * (len(updated) + 1)
    return pack([Example(tokens=tokens, middle=middle)], length)


def blocks_of(batch: Batch) -> dict[int, tuple[list[int], list[int], list[float]]]:
    """Per place of the text: the block that starts there, its labels and its weights."""
    clean = batch.clean_length
    starts = batch.layout.order[0, clean::SIZE].tolist()
    shaped = [values[0, clean:].view(-1, SIZE).tolist() for values in (batch.tokens, batch.target, batch.weight)]
    return {start: (shaped[0][k], shaped[1][k], shaped[2][k]) for k, start in enumerate(starts)}


def learned(batch: Batch) -> dict[int, tuple[list[int], list[int], list[float]]]:
    return {start: block for start, block in blocks_of(batch).items() if any(block[2])}


def test_an_edit_starts_from_its_original() -> None:
    """Without noise a block is the original from the aligned place on, its labels lead to the updated text."""
    original, updated = [40, 41, 42, 50, 44, 45, 46, 47], [40, 41, 42, 43, 44, 45, 99, 46, 47]
    rows = edit_rows(original, updated)
    config = EditCorruptionConfig(
        block_size=SIZE, noisy_length=48, noise=0.0, at_least_one=0.0, masked=0.0, middle_preference=1e9
    )
    batch = corrupt_drafts(rows, config, np.random.default_rng(0))
    first = int(rows.middle[0].argmax())
    found = learned(batch)
    end = END_OF_MIDDLE
    assert found[first][:2] == ([40, 41, 42, 50], [40, 41, 42, 43])
    assert found[first + 3][:2] == ([50, 44, 45, 46], [43, 44, 45, INSERT])
    assert found[first + 6][:2] == ([46, 47, end, end], [INSERT, 47, end, end])
    assert found[first + 7][:2] == ([46, 47, end, end], [46, 47, end, end])
    assert found[first + 9][:2] == ([end] * 4, [end] * 4)
    assert found[first + 7][2] == pytest.approx([0.3, 0.3, 0.3, 0.1])
    assert found[first][2] == pytest.approx([0.3, 0.3, 0.3, 1.0])


def test_what_was_removed_is_labelled_so() -> None:
    rows = edit_rows([40, 41, 42, 43], [40, 43])
    config = EditCorruptionConfig(
        block_size=SIZE, noisy_length=48, noise=0.0, at_least_one=0.0, masked=0.0, middle_preference=1e9
    )
    found = learned(corrupt_drafts(rows, config, np.random.default_rng(0)))
    first = int(rows.middle[0].argmax())
    assert found[first][:2] == ([40, 41, 42, 43], [40, DELETE, DELETE, 43])


def test_neither_original_nor_instruction_is_learned() -> None:
    rows = edit_rows(list(range(40, 60)), list(range(40, 60)), length=64)
    batch = corrupt_drafts(rows, QUIET, np.random.default_rng(1))
    first, instruction = int(rows.middle[0].argmax()), rows.tokens[0].tolist().index(INSTRUCTION)
    weight = batch.weight[0, : batch.clean_length]
    assert not weight[instruction : first - 1].any(), "the causal head need not say what is given"
    assert weight[first - 1] > 0, "but what is answered first"
    assert not any(instruction <= start < first for start in learned(batch))


def test_without_noise_a_text_is_its_own_draft() -> None:
    rows = random_rows(0, length=80, examples=60)
    batch = corrupt_drafts(rows, QUIET, np.random.default_rng(0))
    noisy = batch.weight[:, batch.clean_length :] > 0
    assert noisy.any()
    assert torch.equal(batch.tokens[:, batch.clean_length :][noisy], batch.target[:, batch.clean_length :][noisy])


@pytest.mark.parametrize("own_guesses", [0.0, 1.0])
def test_noise_is_as_much_as_said(own_guesses: float) -> None:
    rows = random_rows(3, length=120, examples=400)
    config = EditCorruptionConfig(
        block_size=8, noisy_length=64, noise=0.1, at_least_one=0.5, masked=0.0, own_guesses=own_guesses
    )
    batch = corrupt_drafts(rows, config, np.random.default_rng(0))
    clean = batch.clean_length
    tokens, labels = (values[:, clean:].reshape(-1, 8) for values in (batch.tokens, batch.target))
    whole = (batch.weight[:, clean:].reshape(-1, 8) > 0).all(dim=1) & (tokens != END_OF_MIDDLE).all(dim=1)
    wrong = (tokens != labels)[whole]
    share = wrong.any(dim=1).float().mean()
    assert 0.5 < share < 0.75, "half of the blocks for certain, and what alpha hits"
    said = labels[whole][wrong]
    for label in (DELETE, INSERT):
        assert 0.2 < (said == label).float().mean() < 0.45
    assert (said >= NUM_CONTROL_IDS).any()
    assert bool((tokens == OWN_GUESS).any()) == (own_guesses == 1.0)
    assert not (tokens == INSERT).any()


def test_masks_hide_tokens_of_some_drafts() -> None:
    rows = random_rows(4, length=120, examples=200)
    config = EditCorruptionConfig(block_size=8, noisy_length=64, masked=0.5)
    batch = corrupt_drafts(rows, config, np.random.default_rng(0))
    masked = batch.tokens[:, batch.clean_length :] == MASK
    blocks = masked.reshape(-1, 8).any(dim=1).float().mean()
    assert 0.3 < blocks < 0.55
    weight = batch.weight[:, batch.clean_length :][masked]
    assert ((weight == 0) | (weight == 1)).all(), "a masked token is learned fully, or its block is not learned"


def test_the_same_generator_makes_the_same_batch() -> None:
    rows = random_rows(5, length=80, examples=40)
    one, two = (corrupt_drafts(rows, EditCorruptionConfig(), np.random.default_rng(7)) for _ in range(2))
    assert torch.equal(one.tokens, two.tokens)
    assert torch.equal(one.target, two.target)
    assert torch.equal(one.weight, two.weight)


@pytest.mark.parametrize(
    "changes, name", [({"noisy_length": 12}, "noisy_length"), ({"noise": 1.5}, "noise"), ({"masked": -0.1}, "masked")]
)
def test_impossible_configurations_name_the_key(changes: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        EditCorruptionConfig(**changes)  # type: ignore[arg-type]
