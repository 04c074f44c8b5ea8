"""Edit pairs to packed rows: a request as `model.edit_prompt` writes it, answered by the lines after the change."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from diffill.model.edit_prompt import MAX_ORIGINAL_TOKENS, edit_prompt
from diffill.model.tokenizer import END_OF_MIDDLE, Tokenizer

from .edits import EditPair, read_pairs
from .examples import Example
from .packing import pack, save_rows

REPORT_FILE = "report.json"
PAIRS_PER_SHARD = 4000


class EditRowsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pairs are packed, and how."""

    pairs: Path
    """Directory that `diffill train pack-edits` reads with `edits.read_pairs`."""
    tokenizer: Path
    """A checkpoint directory."""
    out: Path
    row_length: int = 512
    """That of the rows they are trained with."""
    max_prefix: int = 192
    max_suffix: int = 64
    max_updated: int = 160
    """Budgets in tokens; longer answers are left out."""
    held_out: float = 0.02
    """Share of the sources (repositories, archives) whose pairs only measure."""
    no_instruction: float = 0.3
    """Share of pairs whose instruction is withheld: people press `Fix this` without a diagnostic too."""
    limit: int | None = None
    """At most this many pairs are read."""
    seed: int = 0


def pack_edits(
    config: EditRowsConfig, *, on_progress: Callable[[str, int], None] = lambda stage, done: None
) -> dict[str, object]:
    """Tokenise and pack; returns the report that is also written beside the rows.

    Raises:
        ValueError: there are no pairs, or none that fits the budgets.
    """
    tokenizer, generator = Tokenizer.load(config.tokenizer), random.Random(config.seed)
    kinds: Counter[str] = Counter()
    dropped = shards = 0
    measured: list[Example] = []
    pairs = itertools.islice(read_pairs(config.pairs), config.limit)
    while part := list(itertools.islice(pairs, PAIRS_PER_SHARD)):
        trained: list[Example] = []
        for pair in part:
            example = edit_example(pair, tokenizer, config, generator)
            if example is None:
                dropped += 1
                continue
            kinds[pair.kind] += 1
            (measured if is_held_out(pair, config.held_out) else trained).append(example)
        path = config.out / f"train-{shards:03d}"
        if trained and not path.exists():
            save_rows(path, pack(trained, config.row_length))
        shards += 1
        on_progress("pack", sum(kinds.values()))
    if not kinds:
        raise ValueError(f"pairs: {config.pairs} holds no pair within the budgets ({dropped} are longer)")
    if measured and not (config.out / "held-out").exists():
        save_rows(config.out / "held-out", pack(measured, config.row_length))
    report: dict[str, object] = {"kinds": dict(kinds), "dropped": dropped, "held_out": len(measured)}
    (config.out / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return report


def edit_example(
    pair: EditPair, tokenizer: Tokenizer, config: EditRowsConfig, generator: random.Random
) -> Example | None:
    """One document, or None when it is longer than the budgets."""
    original, updated = tokenizer.encode(pair.before), tokenizer.encode(pair.after)
    if len(original) > MAX_ORIGINAL_TOKENS or len(updated) > config.max_updated:
        return None
    instruction = "" if generator.random() < config.no_instruction else pair.instruction
    prompt = edit_prompt(
        tokenizer.encode(pair.prefix),
        original,
        tokenizer.encode(pair.suffix),
        tokenizer.encode(instruction),
        max_prefix=generator.randint(config.max_prefix // 3, config.max_prefix),
        max_suffix=generator.randint(0, config.max_suffix),
    )
    tokens = [*prompt, *updated, END_OF_MIDDLE]
    if len(tokens) > config.row_length:
        return None
    return Example(tokens=tokens, middle=[False] * len(prompt) + [True] * (len(updated) + 1))


def is_held_out(pair: EditPair, share: float) -> bool:
    """By the repository or archive, so that no text is on both sides."""
    name = pair.source.partition(":")[0].partition("@")[0]
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "big") < share * 2**32
