"""The decoding profile of a checkpoint: how it is prompted, and what it can do beside plain decoding. No torch.

Found from the tokens that its tokenizer has and from the architecture; a file `decoding_profile.json` beside the
weights replaces what it names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from .layout import PROFILE_FILE, read_object


class DecodingProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens are named as the tokenizer spells them."""

    prefix: str | None = None
    """Stands before the text before the cursor; None, as for `suffix` and `middle`: no fill-in-the-middle."""
    suffix: str | None = None
    middle: str | None = None
    order: Literal["prefix first", "suffix first"] = "prefix first"
    end: str | None = None
    """Ends an answer; None is the first `eos_token_id` of `config.json`."""
    mask: str | None = None
    """Stands for a place to be filled; None for a causal model."""
    context: Literal["causal", "block"] = "causal"
    """What finished text sees: what is before it, or also the rest of its block."""
    shift: bool = False
    """A masked place is predicted by the token before it, as next tokens are."""
    block_size: int = 8
    threshold: float = 0.9
    """A masked place is filled when its best token reaches this probability."""
    int8: bool = True
    """On a CPU, matrices are rounded to int8 rows: a quarter of the memory, and `verify` equals `ar` bit for bit."""


FILL_IN_THE_MIDDLE = (
    # Qwen, whose chat models end a turn otherwise
    {"prefix": "<|fim_prefix|>", "suffix": "<|fim_suffix|>", "middle": "<|fim_middle|>", "end": "<|endoftext|>"},
    # StarCoder, Granite
    {"prefix": "<fim_prefix>", "suffix": "<fim_suffix>", "middle": "<fim_middle>"},
    # DeepSeek-Coder
    {"prefix": "<｜fim▁begin｜>", "suffix": "<｜fim▁hole｜>", "middle": "<｜fim▁end｜>"},
    # Seed-Coder (arXiv 2506.03524)
    {"prefix": "<[fim-prefix]>", "suffix": "<[fim-suffix]>", "middle": "<[fim-middle]>", "order": "suffix first"},
)
CONTEXT_BLOCKS = (2, 4, 8, 16, 32)
DENOISERS: dict[str, dict[str, Any]] = {
    # arXiv 2510.06303
    "SDARForCausalLM": {"mask": "<|MASK|>", "context": "block", "block_size": 4},
    # arXiv 2509.26328
    "Fast_dLLM_QwenForCausalLM": {"mask": "|<MASK>|", "context": "block", "shift": True, "block_size": 32},
}
"""By architecture: what the published block-diffusion checkpoints were trained with."""


def read_profile(directory: Path, architecture: str, tokens: dict[str, int]) -> DecodingProfile:
    """The profile of a checkpoint.

    Args:
        tokens: every token of its vocabulary.

    Raises:
        ValueError: the file beside it is none, or names a token that the vocabulary lacks.
    """
    path = directory / PROFILE_FILE
    markers = ("prefix", "suffix", "middle", "end")
    found = [family for family in FILL_IN_THE_MIDDLE if all(family.get(name, "") in {*tokens, ""} for name in markers)]
    values: dict[str, Any] = {**(found[0] if found else {}), **DENOISERS.get(architecture, {})}
    if path.is_file():
        values |= read_object(path)
    try:
        profile = msgspec.convert(values, DecodingProfile)
    except msgspec.ValidationError as error:
        raise ValueError(f"checkpoint: {path}: {error}") from None
    for name in (*markers, "mask"):
        if (token := getattr(profile, name)) is not None and token not in tokens:
            raise ValueError(f"checkpoint: {directory}: the tokenizer has no {token!r}, which is {name} of the profile")
    if None in (three := (profile.prefix, profile.suffix, profile.middle)) and any(three):
        raise ValueError(f"checkpoint: {path}: prefix, suffix and middle belong together")
    if not profile.block_size > 0 or not 0 < profile.threshold <= 1:
        raise ValueError(f"checkpoint: {path}: block_size is not positive, or threshold not in (0, 1]")
    if profile.context == "block" and (profile.mask is None or profile.block_size not in CONTEXT_BLOCKS):
        raise ValueError(f"checkpoint: {path}: a context of blocks needs a mask and a block_size of {CONTEXT_BLOCKS}")
    if profile.shift and profile.mask is not None and profile.context == "causal":
        raise ValueError(f"checkpoint: {path}: shift is supported only in a context of blocks")
    return profile
