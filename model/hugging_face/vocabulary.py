"""A tokenizer of others in our ids: theirs moved up behind our control ids. No torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import tokenizers

from ..tokenizer import END_OF_MIDDLE, END_OF_TEXT, MASK, MIDDLE, NUM_CONTROL_IDS, PREFIX, SUFFIX, TOKENIZER_FILE
from .layout import CONFIG_FILE, read_object
from .profile import DecodingProfile, read_profile


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What a `tokenizer.json` and a profile say, in our ids."""

    size: int
    """Ours: control ids, then every id of theirs."""
    profile: DecodingProfile
    rows: dict[int, int]
    """Control id → the id of theirs that plays its part."""
    refused: tuple[int, ...]
    """Ours that are no text: their control tokens, and ids without a token."""
    beginning: int | None
    """Ours of the token that every text begins with, if there is one."""
    markers: dict[int, int]
    """PREFIX, SUFFIX and MIDDLE → ours of theirs."""
    text: str
    """Their `tokenizer.json` without the control tokens, so that no text is read as one."""

    def backend(self) -> tokenizers.Tokenizer:
        return tokenizers.Tokenizer.from_str(self.text)

    def arranged(self, prompt: Sequence[int]) -> list[int]:
        """A prompt as these weights know it: `SUFFIX suffix PREFIX prefix MIDDLE opening` with their markers and order.

        Without markers only what is before the cursor is left of it. Any other text stays as it is.

        Raises:
            ValueError: it asks for what the weights were not taught, as a repair by instruction is.
        """
        ids = list(prompt)
        before: list[int]
        if ids[0] == SUFFIX and PREFIX in ids and MIDDLE in ids:
            middle, start = ids.index(MIDDLE), ids.index(PREFIX)
            suffix, before, opening = ids[1:start], ids[start + 1 : middle], ids[middle + 1 :]
            if self.markers:
                parts = [[self.markers[SUFFIX], *suffix], [self.markers[PREFIX], *before]]
                if self.profile.order == "prefix first":
                    parts.reverse()
                before, opening = [*parts[0], *parts[1]], [self.markers[MIDDLE], *opening]
            ids = [*before, *opening]
        elif ids[0] == END_OF_TEXT:
            ids = ids[1:]
        if any(token < NUM_CONTROL_IDS for token in ids):
            raise ValueError("prompt: this model was not taught to edit")
        begun = ids if self.beginning is None or ids[:1] == [self.beginning] else [self.beginning, *ids]
        return begun or [self.rows[END_OF_MIDDLE] + NUM_CONTROL_IDS]


@lru_cache(maxsize=2)
def read_vocabulary(directory: Path) -> Vocabulary:
    """Read `tokenizer.json` and the profile of a checkpoint in Hugging Face layout.

    Raises:
        ValueError: a file is missing or is none, the tokenizer is no byte-level BPE, or the profile does not fit it.
    """
    path = directory / TOKENIZER_FILE
    values = read_object(path)
    if '"ByteLevel"' not in json.dumps(values.get("decoder")):
        raise ValueError(f"checkpoint: {path} is not a byte-level BPE, the only kind that is supported")
    try:
        whole = tokenizers.Tokenizer.from_file(str(path))
        begins = whole.encode("", add_special_tokens=True).ids
    except Exception as error:  # the library raises bare Exception for every malformed file
        raise ValueError(f"checkpoint: {path} is not a tokenizer: {str(error).splitlines()[0]}") from None
    tokens: dict[str, int] = whole.get_vocab(with_added_tokens=True)
    # Runs of white space may be added tokens too; those are text.
    control = {token.content: id_ for id_, token in whole.get_added_tokens_decoder().items() if token.content.strip()}
    values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] not in control]
    config = read_object(directory / CONFIG_FILE)
    profile = read_profile(directory, architecture_of(config), tokens)
    size = max(tokens.values()) + 1
    end = tokens[profile.end] if profile.end is not None else _end_of(directory, config, size)
    names = {PREFIX: profile.prefix, SUFFIX: profile.suffix, MIDDLE: profile.middle}
    no_text = {*control.values(), end, *(set(range(size)) - set(tokens.values()))}
    return Vocabulary(
        size=NUM_CONTROL_IDS + size,
        profile=profile,
        rows={END_OF_MIDDLE: end, **({MASK: tokens[profile.mask]} if profile.mask is not None else {})},
        refused=tuple(sorted(NUM_CONTROL_IDS + id_ for id_ in no_text)),
        beginning=NUM_CONTROL_IDS + begins[0] if begins else None,
        markers={control: NUM_CONTROL_IDS + tokens[name] for control, name in names.items() if name is not None},
        text=json.dumps({**values, "post_processor": None, "truncation": None, "padding": None}),
    )


def architecture_of(config: dict[str, object]) -> str:
    """The first named class, or nothing."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def _end_of(directory: Path, config: dict[str, object], size: int) -> int:
    named = config.get("eos_token_id")
    first = named[0] if isinstance(named, list) and named else named
    if type(first) is not int or not 0 <= first < size:
        raise ValueError(f"checkpoint: {directory / CONFIG_FILE}: eos_token_id {named!r} is no token of the tokenizer")
    return first
