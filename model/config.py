"""Shape of the network and how it is decoded, as stored in a checkpoint's `config.json`. No torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

from .hugging_face.layout import is_hugging_face

DEFAULT_CHECKPOINT = Path(__file__).parent / "default"
CONFIG_FILE = "config.json"


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """Slower rotations, by which a context is longer than the one first trained on."""

    factor: float
    """Every frequency is divided by it; with the three below, only the low ones are (Llama 3.1)."""
    low_frequency_factor: float | None = None
    high_frequency_factor: float | None = None
    original_positions: int | None = None

    def __post_init__(self) -> None:
        _check_kinds(self)
        band = (self.low_frequency_factor, self.high_frequency_factor, self.original_positions)
        if None in band and any(value is not None for value in band):
            raise ValueError("low_frequency_factor, high_frequency_factor and original_positions belong together")


KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "float | None": (int, float, type(None)),
    "int | None": (int, type(None)),
    "tuple[int, ...]": (tuple,),
    "RopeScaling | None": (RopeScaling, type(None)),
}
MAY_BE_ZERO = ("draft_size", "copied_draft")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A Llama-family decoder that also denoises blocks."""

    name: str
    vocabulary_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_size: int
    rope_theta: float
    norm_epsilon: float
    max_positions: int
    rope_scaling: RopeScaling | None = None
    qkv_bias: bool = False
    """Queries, keys and values have a bias (Qwen2)."""
    qk_norm: bool = False
    """Each head's query and key pass a norm before they are rotated (Qwen3)."""
    tied_head: bool = True
    """The head is the embedding."""
    refused: tuple[int, ...] = ()
    """Token ids that are never answers, besides the control ids."""
    denoises: bool = True
    """Whether it has learned MASK; without, there is no `diffusion`, and `verify` has only copied drafts."""
    context_block: int = 1
    """Finished text sees to the end of its block of so many tokens; 1 is causal, as our own weights are. More leave
    `diffusion` as the only mode."""
    shift: bool = False
    """A masked place is predicted by the token before it."""
    block_size: int = 8
    """Tokens denoised together in `diffusion` mode; the size the model was trained with."""
    draft_size: int = 3
    """Tokens drafted beyond the next one in `verify` mode: small, because every rejected draft was paid for. 0 for
    weights whose drafts are not worth their rows."""
    copied_draft: int = 6
    """`verify`: where no block drafts, at most so many tokens are drafted that stood behind the same text before."""
    draft_threshold: float = 0.3
    """`verify`: drafts are checked up to the first that is less probable than this."""
    relaxed_acceptance: float | None = None
    """`verify`: a draft is also accepted when the causal head gives it this share of its best token's probability. None
    is strict: the answer is that of `ar`."""
    threshold: float = 0.8
    """`diffusion`: a masked position is placed when its best token reaches this probability."""
    revise_threshold: float | None = None
    """`diffusion`: a placed token is replaced when another reaches this probability. None for weights that have not
    learned to judge visible tokens: they answer with the next token there, as the causal stream does."""
    entropy_bound: float | None = None
    """`diffusion`: in place of `threshold`, the surest places are filled as long as the entropies (nats) of those
    before add up to no more than this (arXiv 2505.24857)."""
    block_passes: int | None = None
    """`diffusion`: a block that is not finished after so many passes is finished by the causal head."""
    edit_threshold: float | None = None
    """`diffusion` of a draft: a label other than "keep" is followed at this probability. None for weights without the
    edit stage."""

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.num_heads % self.num_key_value_heads:
            raise ValueError(
                f"num_heads: {self.num_heads} is not a multiple of num_key_value_heads {self.num_key_value_heads}"
            )
        if self.head_size % 2:
            raise ValueError(f"head_size: {self.head_size} is odd, but positions rotate pairs")
        for name in ("draft_threshold", "relaxed_acceptance", "threshold", "revise_threshold", "edit_threshold"):
            if (getattr(self, name) or 0.0) > 1.0:
                raise ValueError(f"{name}: {getattr(self, name)} is not in (0, 1]")

    @classmethod
    def load(cls, directory: Path) -> ModelConfig:
        """Read `config.json`, ours or that of a checkpoint in Hugging Face layout.

        Raises:
            ValueError: the file is missing, is not JSON, or has an unknown, missing or impossible key; one line that
                names file and key.
        """
        if is_hugging_face(directory):
            from .hugging_face.shape import read_shape  # which is written in terms of this file

            return read_shape(directory)
        path = directory / CONFIG_FILE
        try:
            values = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"checkpoint: cannot read {path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"checkpoint: {path} is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ValueError(f"checkpoint: {path} does not hold a JSON object")
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise ValueError(f"checkpoint: {path} has an unknown key: {', '.join(sorted(unknown))}")
        try:
            if isinstance(scaling := values.get("rope_scaling"), dict):
                values["rope_scaling"] = RopeScaling(**scaling)
            if isinstance(refused := values.get("refused"), list):
                values["refused"] = tuple(refused)
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"checkpoint: {path}: {error}") from None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def _check_kinds(record: ModelConfig | RopeScaling) -> None:
    """Every value is of the type of its field, and every number positive, or zero where that switches something off."""
    for item in fields(record):
        value: Any = getattr(record, item.name)
        if type(value) not in KINDS[str(item.type)]:
            raise ValueError(f"{item.name}: {value!r} is not of type {item.type}")
        if value == 0 and item.name in MAY_BE_ZERO:
            continue
        if type(value) in (int, float) and not 0 < value < inf:
            raise ValueError(f"{item.name}: {value} is not positive")
