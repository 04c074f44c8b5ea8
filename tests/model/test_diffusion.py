"""Parallel denoising: what a block may place, revise and leave alone, whatever the network says."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.model.decoding import Answer, Snapshot, decode_diffusion
from diffill.model.decoding.diffusion import DraftBlock
from diffill.model.network import Prediction
from diffill.model.tokenizer import END_OF_MIDDLE, MASK, NUM_CONTROL_IDS
from tests.scripted_network import ScriptedNetwork, Text, alone, as_network
from tests.tiny import VOCABULARY_SIZE, tiny_config, tiny_network

THRESHOLD, REVISE = 0.8, 0.9
PROMPT = [30, 31, 32]
CERTAIN, LIKELY, UNSURE = 0.95, 0.85, 0.3
NEWLINE = 99


def prediction(*guesses: tuple[int, float]) -> Prediction:
    return Prediction([token for token, _ in guesses], [log(certainty) for _, certainty in guesses])


guess = st.tuples(st.sampled_from([END_OF_MIDDLE, 40, 41, 42]), st.sampled_from([UNSURE, LIKELY, CERTAIN, 1.0]))


@st.composite
def courses(draw: st.DrawFn) -> tuple[int, list[Prediction]]:
    """A block size, and for every pass that could be needed what the network says at each place."""
    size = draw(st.integers(1, 8))
    rounds = draw(st.lists(st.lists(guess, min_size=size, max_size=size), min_size=size, max_size=size))
    return size, [prediction(*guesses) for guesses in rounds]


@settings(max_examples=400, deadline=None)
@given(courses())
def test_every_course_of_events(course: tuple[int, list[Prediction]]) -> None:
    size, predictions = course
    block = DraftBlock(size, THRESHOLD, REVISE)
    changes = [0] * size
    for said in predictions:
        before = list(block.tokens)
        left_most = before.index(MASK)
        block.advance(said)
        after = block.tokens
        for place in range(size):
            if after[place] == before[place]:
                continue
            certain = exp(said.log_probability[place])
            assert after[place] == said.tokens[place], "only what the network says is placed"
            assert block.log_probability[place] == said.log_probability[place]
            assert block.confidence[place] == pytest.approx(certain)
            assert END_OF_MIDDLE not in after[:place], "nothing is placed behind the end of the middle"
            if before[place] == MASK:
                assert place == left_most or certain >= THRESHOLD
            else:
                changes[place] += 1
                assert certain >= REVISE
        assert after[left_most] != MASK or END_OF_MIDDLE in after[:left_most], "every pass gets further"
        if block.finished:
            break
    assert block.finished, "as many passes as places are enough"
    assert max(changes) <= 1, "a place is revised once at most"
    end = block.tokens.index(END_OF_MIDDLE) if END_OF_MIDDLE in block.tokens else size
    assert all(token >= NUM_CONTROL_IDS for token in block.tokens[:end])


def test_what_is_certain_is_placed_together() -> None:
    block = DraftBlock(4, THRESHOLD, REVISE)
    block.advance(prediction((40, UNSURE), (41, LIKELY), (42, UNSURE), (43, CERTAIN)))
    assert block.tokens == [40, 41, MASK, 43]
    assert not block.finished
    assert block.confidence == pytest.approx([UNSURE, LIKELY, UNSURE, CERTAIN])


def test_nothing_is_placed_behind_a_likely_end() -> None:
    block = DraftBlock(4, THRESHOLD, REVISE)
    block.advance(prediction((40, CERTAIN), (END_OF_MIDDLE, UNSURE), (42, CERTAIN), (43, CERTAIN)))
    assert block.tokens == [40, MASK, MASK, MASK]
    block.advance(prediction((40, CERTAIN), (END_OF_MIDDLE, UNSURE), (42, CERTAIN), (43, CERTAIN)))
    assert block.tokens == [40, END_OF_MIDDLE, MASK, MASK]
    assert block.finished


def test_a_revision_to_the_end_hides_what_follows() -> None:
    block = DraftBlock(3, THRESHOLD, REVISE)
    block.advance(prediction((40, UNSURE), (41, UNSURE), (42, UNSURE)))
    block.advance(prediction((END_OF_MIDDLE, CERTAIN), (41, CERTAIN), (42, CERTAIN)))
    assert block.tokens == [END_OF_MIDDLE, MASK, MASK]
    assert block.finished


def test_without_a_threshold_nothing_is_revised() -> None:
    block = DraftBlock(2, THRESHOLD, None)
    block.advance(prediction((40, UNSURE), (41, UNSURE)))
    block.advance(prediction((50, 1.0), (41, UNSURE)))
    assert block.tokens == [40, 41]


def test_an_end_may_be_revised_away() -> None:
    block = DraftBlock(3, THRESHOLD, REVISE)
    block.advance(prediction((40, UNSURE), (END_OF_MIDDLE, LIKELY), (42, UNSURE)))
    assert block.finished
    block = DraftBlock(3, THRESHOLD, REVISE)
    block.advance(prediction((40, UNSURE), (41, UNSURE), (END_OF_MIDDLE, LIKELY)))
    assert block.tokens == [40, MASK, END_OF_MIDDLE]
    block.advance(prediction((40, CERTAIN), (41, LIKELY), (43, CERTAIN)))
    assert block.tokens == [40, 41, 43]


def test_a_place_is_revised_once() -> None:
    block = DraftBlock(3, THRESHOLD, REVISE)
    block.advance(prediction((40, UNSURE), (41, UNSURE), (42, UNSURE)))
    block.advance(prediction((50, CERTAIN), (41, UNSURE), (42, UNSURE)))
    assert block.tokens == [50, 41, MASK]
    block.advance(prediction((40, CERTAIN), (51, CERTAIN), (42, UNSURE)))
    assert block.tokens == [50, 51, 42]


def decode(
    network: ScriptedNetwork, *, max_tokens: int = 40, ends_line: np.ndarray | None = None
) -> tuple[Answer, list[Snapshot], list[int]]:
    cache = network.new_cache()
    cache.keep(PROMPT[:-1])
    answer = Answer(max_tokens=max_tokens, ends_line=ends_line)
    snapshots = alone(network, decode_diffusion(as_network(network), cache, PROMPT[-1], answer))
    return answer, snapshots, cache.tokens


def script(continuation: list[int], *, certainty: float, block_size: int = 4) -> ScriptedNetwork:
    def next_token(text: Text) -> int:
        place = len(text) - len(PROMPT)
        return continuation[place] if place < len(continuation) else END_OF_MIDDLE

    return ScriptedNetwork(tiny_config(block_size=block_size), next_token, log_probability=log(certainty))


@settings(max_examples=100, deadline=None)
@given(
    continuation=st.lists(st.integers(40, 99), max_size=14),
    certainty=st.sampled_from([UNSURE, CERTAIN]),
    block_size=st.integers(1, 5),
    max_tokens=st.integers(1, 16),
    by_line=st.booleans(),
)
def test_answer_passes_snapshots_and_cache(
    continuation: list[int], certainty: float, block_size: int, max_tokens: int, by_line: bool
) -> None:
    network = script(continuation, certainty=certainty, block_size=block_size)
    ends_line = np.arange(VOCABULARY_SIZE) == NEWLINE if by_line else None
    answer, snapshots, held = decode(network, max_tokens=max_tokens, ends_line=ends_line)

    wanted = continuation[:max_tokens]
    if by_line and NEWLINE in wanted:
        wanted = wanted[: wanted.index(NEWLINE) + 1]
    assert answer.tokens == wanted
    if by_line and NEWLINE in wanted:
        assert answer.finish == "line"
    else:
        assert answer.finish == ("length" if len(continuation) >= max_tokens else "eom")
    assert answer.score == pytest.approx(log(certainty))

    # A block is left when it is finished or the answer is; END_OF_MIDDLE takes a place of its own.
    blocks = -(-len(answer.log_probability) // block_size)
    passes = blocks if certainty == CERTAIN else len(answer.log_probability)
    assert answer.rounds == len(snapshots) == passes

    # What was watched of each block ends as what was answered.
    last = {snapshot.start: snapshot.tokens for snapshot in snapshots}
    assert list(last) == [at * block_size for at in range(blocks)]
    watched = [token for tokens in last.values() for token in tokens]
    assert watched[: len(answer.tokens)] == answer.tokens
    assert all(len(snapshot.tokens) == len(snapshot.confidence) == block_size for snapshot in snapshots)
    # Blocks enter the cache once they are final, the last one never.
    assert held == [*PROMPT, *continuation][: len(PROMPT) + (blocks - 1) * block_size]


def test_a_finished_block_is_encoded_by_the_first_pass_of_the_next() -> None:
    network = script(list(range(40, 46)), certainty=CERTAIN)
    decode(network)
    clean = [clean for _, clean, _ in network.steps]
    assert clean == [(PROMPT[-1],), (40, 41, 42, 43)]
    assert [blocks[0].before for _, _, blocks in network.steps] == [1, 4]


@pytest.mark.parametrize("seed", range(6))
def test_a_real_network_gives_no_control_token(seed: int) -> None:
    network = tiny_network(tiny_config(block_size=4, threshold=0.5, revise_threshold=0.5), seed)
    cache = network.new_cache()
    answer = Answer(max_tokens=12, ends_line=None)
    snapshots = alone(network, decode_diffusion(network, cache, 30 + seed, answer))
    assert len(answer.tokens) == 12 or answer.finish == "eom"
    assert all(token >= NUM_CONTROL_IDS for token in answer.tokens)
    assert any(MASK in snapshot.tokens for snapshot in snapshots), "else nothing was watched"


def test_an_entropy_bound_places_the_surest_until_their_doubts_add_up() -> None:
    said = Prediction([40, 41, 42, 43], [log(UNSURE)] * 4, entropy=[0.9, 0.1, 0.3, 0.2])
    for bound, wanted in ((0.01, [40, 41, MASK, MASK]), (0.1, [40, 41, MASK, 43]), (0.31, [40, 41, 42, 43])):
        block = DraftBlock(4, THRESHOLD, None, bound)
        block.advance(said)
        assert block.tokens == wanted


def test_a_block_that_takes_too_long_is_finished_by_the_causal_head() -> None:
    network = script([*range(40, 53)], certainty=UNSURE)
    network.config = tiny_config(block_size=4, block_passes=2)
    answer, snapshots, held = decode(network)
    assert (answer.tokens, answer.finish) == ([*range(40, 53)], "eom")
    shapes = [(len(clean), len(blocks)) for _, clean, blocks in network.steps]
    # Two passes over a block place two tokens, which are read by the first of two causal passes.
    assert shapes[:8] == [(1, 1), (0, 1), (2, 0), (1, 0)] * 2
    assert len(snapshots) == answer.rounds == len(shapes)
    assert held[len(PROMPT) :] == answer.tokens[: len(held) - len(PROMPT)]
