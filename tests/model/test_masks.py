"""The block-diffusion mask against a definition in plain loops, and its three forms against one another."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffill.model.masks import CLEAN, StreamLayout, decoding_mask, dense_mask, flex_mask

PADDING = -1


@dataclass(frozen=True)
class Token:
    """One token of a row, in words."""

    document: int
    place: int
    """Clean: where it stands in the clean stream. Noisy: where its block starts there."""
    block: int | None
    """None in the clean stream."""


def may_see(row: list[Token], query: int, key: int) -> bool:
    """The definition in `masks`' docstring, said once more without tensors."""
    asking, asked = row[query], row[key]
    if PADDING in (asking.document, asked.document):
        return query == key
    if asking.document != asked.document:
        return False
    if asking.block is None:
        return asked.block is None and asked.place <= asking.place
    if asked.block is None:
        return asked.place < asking.place
    return asked.block == asking.block


def by_loops(row: list[Token]) -> Tensor:
    return torch.tensor([[may_see(row, query, key) for key in range(len(row))] for query in range(len(row))])


def layout_of(rows: list[list[Token]]) -> StreamLayout:
    def column(values: list[list[int]]) -> Tensor:
        return torch.tensor(values)

    return StreamLayout(
        document=column([[token.document for token in row] for row in rows]),
        block=column([[CLEAN if token.block is None else token.block for token in row] for row in rows]),
        order=column([[token.place for token in row] for row in rows]),
    )


@st.composite
def rows(draw: st.DrawFn) -> list[Token]:
    """A clean stream of up to three documents and padding, and up to three blocks that start anywhere in it."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    documents = [number for number, length in enumerate(lengths) for _ in range(length)]
    documents += [PADDING] * draw(st.integers(0, 3))
    row = [Token(document, place, None) for place, document in enumerate(documents)]
    size = draw(st.integers(1, 3))
    for block in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(documents) - 1))
        row += [Token(documents[start], start, block)] * size
    return row


@settings(max_examples=150, deadline=None)
@given(rows())
def test_dense_mask_is_the_definition(row: list[Token]) -> None:
    assert torch.equal(dense_mask(layout_of([row]))[0, 0], by_loops(row))


def test_rows_of_a_batch_do_not_mix() -> None:
    one = [Token(0, 0, None), Token(0, 1, None), Token(0, 1, 0), Token(0, 1, 0)]
    other = [Token(0, 0, None), Token(1, 1, None), Token(1, 1, 0), Token(1, 1, 0)]
    mask = dense_mask(layout_of([one, other]))
    assert torch.equal(mask[0, 0], by_loops(one))
    assert torch.equal(mask[1, 0], by_loops(other))
    assert not torch.equal(mask[0], mask[1])


def test_every_token_sees_something() -> None:
    """A row of the mask without a True would be a softmax over nothing."""
    row = [Token(0, 0, None), Token(PADDING, 1, None), Token(0, 0, 0), Token(PADDING, 1, 1)]
    assert dense_mask(layout_of([row])).any(dim=-1).all()


@settings(max_examples=100, deadline=None)
@given(
    context=st.integers(0, 6),
    clean=st.integers(0, 5),
    blocks=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5)), max_size=3),
)
def test_decoding_mask_is_the_training_mask_of_the_same_tokens(
    context: int, clean: int, blocks: list[tuple[int, int]]
) -> None:
    blocks = [(size, min(before, clean)) for size, before in blocks]
    row = [Token(0, place, None) for place in range(context + clean)]
    for number, (size, before) in enumerate(blocks):
        row += [Token(0, context + before, number)] * size
    wanted = by_loops(row)[context:] if row else torch.zeros(0, 0, dtype=torch.bool)
    assert torch.equal(decoding_mask(context=context, clean=clean, blocks=tuple(blocks)), wanted)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_form_agrees_with_the_dense_one() -> None:
    attention = pytest.importorskip("torch.nn.attention.flex_attention")
    clean = [Token(0, place, None) for place in range(70)]
    clean += [Token(1, place, None) for place in range(70, 120)] + [
        Token(PADDING, place, None) for place in range(120, 130)
    ]
    noisy = [
        Token(clean[start].document, start, block)
        for block, start in enumerate((3, 60, 69, 70, 118, 125))
        for _ in range(8)
    ]
    layout = layout_of([clean + noisy, list(clean + noisy[::-1])])
    dense = dense_mask(layout)
    mask = flex_mask(layout)
    assert isinstance(mask, attention.BlockMask)
    length = dense.shape[-1]
    made = attention.create_mask(mask.mask_mod, 2, 1, length, length, device="cpu")
    assert torch.equal(made, dense)
    # What the kernel skips: blocks of 128 x 128 without anything to see.
    padded = torch.nn.functional.pad(dense, (0, 256 - length, 0, 256 - length))
    assert torch.equal(mask.to_dense().bool(), padded.view(2, 1, 2, 128, 2, 128).any(dim=-1).any(dim=3))

    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, length, 16, generator=generator)
    key, value = (torch.randn(2, 2, length, 16, generator=generator) for _ in range(2))
    flexible = attention.flex_attention(query, key, value, block_mask=mask, enable_gqa=True)
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=dense, enable_gqa=True)
    torch.testing.assert_close(flexible, plain)
