"""Byte-level BPE. Text never turns into a control id, whatever it contains; control ids never into text. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tokenizers

from .hugging_face.layout import is_hugging_face

TOKENIZER_FILE = "tokenizer.json"

# The start model reserves ids 0-16 for itself; those it was hardly trained on carry our control tokens.
END_OF_TEXT = 0
MASK = 3
PREFIX = 4
SUFFIX = 5
MIDDLE = 6
END_OF_MIDDLE = 7
DELETE = 8
INSERT = 9
ORIGINAL = 10
UPDATED = 11
INSTRUCTION = 12
FILE = 13
NUM_CONTROL_IDS = 17

CONTROL_NAMES = {
    MASK: "<|mask|>",
    PREFIX: "<|prefix|>",
    SUFFIX: "<|suffix|>",
    MIDDLE: "<|middle|>",
    END_OF_MIDDLE: "<|end_of_middle|>",
    DELETE: "<|delete|>",
    INSERT: "<|insert|>",
    ORIGINAL: "<|original|>",
    UPDATED: "<|updated|>",
    INSTRUCTION: "<|instruction|>",
    FILE: "<|file|>",
}


class Tokenizer:
    """Text to ids and back."""

    def __init__(self, backend: tokenizers.Tokenizer, *, foreign_size: int | None = None) -> None:
        """
        Args:
            foreign_size: of a vocabulary of others, whose ids stand behind our control ids; see `hugging_face`.
        """
        self._backend = backend
        self._offset = 0 if foreign_size is None else NUM_CONTROL_IDS
        self._foreign_size = foreign_size

    @classmethod
    def load(cls, directory: Path) -> Tokenizer:
        """Read `tokenizer.json` of a checkpoint directory, ours or one in Hugging Face layout.

        Raises:
            ValueError: the file is missing or is not a tokenizer.
        """
        path = directory / TOKENIZER_FILE
        if not path.is_file():
            raise ValueError(f"checkpoint: {path} is missing")
        if is_hugging_face(directory):
            from .hugging_face.vocabulary import read_vocabulary  # which is written in terms of this file

            vocabulary = read_vocabulary(directory)
            return cls(vocabulary.backend(), foreign_size=vocabulary.size - NUM_CONTROL_IDS)
        try:
            return cls(tokenizers.Tokenizer.from_file(str(path)))
        except Exception as error:  # the library raises bare Exception for every malformed file
            raise ValueError(f"checkpoint: {path} is not a tokenizer: {str(error).splitlines()[0]}") from None

    @classmethod
    def from_vocabulary(cls, vocabulary: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokenizer:
        """A byte-level BPE that splits digits, with the control names put on their reserved ids."""
        names = [CONTROL_NAMES.get(index, token) for index, token in enumerate(vocabulary)]
        backend = tokenizers.Tokenizer(
            tokenizers.models.BPE(vocab={name: index for index, name in enumerate(names)}, merges=list(merges))
        )
        backend.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [
                tokenizers.pre_tokenizers.Digits(individual_digits=True),
                tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
        backend.decoder = tokenizers.decoders.ByteLevel()
        return cls(backend)

    def save(self, directory: Path) -> None:
        """Write `tokenizer.json`.

        Raises:
            ValueError: it is one of others, which would not be known as such beside our weights.
        """
        if self._foreign_size is not None:
            raise ValueError("checkpoint: one in Hugging Face layout can be decoded and adapted, but not written anew")
        self._backend.save(str(directory / TOKENIZER_FILE), pretty=False)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`. Strings that look like control tokens are encoded as the text they are.

        Bytes that the vocabulary does not know (six control characters, unassigned planes) are left out.
        """
        # Lone surrogates cannot be UTF-8; an editor may send one while a character is half typed.
        clean = text.encode("utf-8", "replace").decode("utf-8")
        ids: list[int] = self._backend.encode(clean, add_special_tokens=False).ids
        return [index + self._offset for index in ids] if self._offset else ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; control ids are dropped, a cut character becomes U+FFFD."""
        text: str = self._backend.decode(
            [index - self._offset for index in ids if index >= NUM_CONTROL_IDS], skip_special_tokens=False
        )
        return text

    @cached_property
    def vocabulary_size(self) -> int:
        size: int = self._backend.get_vocab_size() if self._foreign_size is None else self._foreign_size
        return size + self._offset

    @property
    def begins_with_space(self) -> np.ndarray:
        """Whether a token's text begins with a space.  # [V] bool"""
        return self._spelled[0]

    @property
    def ends_line(self) -> np.ndarray:
        """Whether a token's text holds a newline.  # [V] bool"""
        return self._spelled[1]

    @cached_property
    def _spelled(self) -> tuple[np.ndarray, np.ndarray]:
        # Both at once: the library makes its whole list anew for whoever asks.
        spaces, lines = np.zeros((2, self.vocabulary_size), dtype=bool)
        for token, index in self._backend.get_vocab().items():
            spaces[index + self._offset] = token.startswith("Ġ")  # byte-level spelling of a space
            lines[index + self._offset] = "Ċ" in token  # byte-level spelling of \n
        return spaces, lines
