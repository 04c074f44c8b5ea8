"""Shape of the network and how it is decoded, as stored in a checkpoint's `config.json`. No torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path
from typing import Any

DEFAULT_CHECKPOINT = Path(__file__).parent / "default"
CONFIG_FILE = "config.json"
KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "int | None": (int, type(None)),
}


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
    block_size: int = 8
    """Tokens denoised together in `diffusion` mode; the size the model was trained with."""
    draft_size: int = 3
    """Tokens drafted beyond the next one in `verify` mode: small, because every rejected draft was paid for."""
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
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if type(value) not in KINDS[str(item.type)]:
                raise ValueError(f"{item.name}: {value!r} is not of type {item.type}")
            if isinstance(value, (int, float)) and not 0 < value < inf:
                raise ValueError(f"{item.name}: {value} is not positive")
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
        """Read `config.json`.

        Raises:
            ValueError: the file is missing, is not JSON, or has an unknown, missing or impossible key; one line that
                names file and key.
        """
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
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"checkpoint: {path}: {error}") from None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"
