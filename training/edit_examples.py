"""Edit pairs to packed rows: a request as `model.edit_prompt` writes it, answered by the lines after the change."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from pathlib import Path

import msgspec

from diffill.model.edit_prompt import MAX_ORIGINAL_TOKENS, edit_prompt
from diffill.model.tokenizer import END_OF_MIDDLE, Tokenizer

from .corpus.workers import Progress, run_all, worker_pool
from .edits import EditPair
from .edits.shards import Shard, read_index, read_shard
from .examples import Example
from .packing import pack, save_rows

REPORT_FILE = "report.json"


class EditRowsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pairs are packed, and how."""

    pairs: Path
    """A directory that `diffill corpus edits` wrote."""
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
    seed: int = 0


class _Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one shard of pairs, besides the rows that are trained on."""

    kinds: Counter[str]
    dropped: int
    measured: list[Example]


def pack_edits(config: EditRowsConfig, *, on_progress: Progress = lambda stage, done, total: None) -> dict[str, object]:
    """Tokenise and pack on all cores; returns the report that is also written beside the rows.

    Raises:
        ValueError: there are no pairs, or none that fits the budgets.
    """
    shards = read_index(config.pairs).shards
    with worker_pool(min(len(shards), os.cpu_count() or 1) or 1) as pool:
        parts = run_all(pool, _pack_shard, [(config, *numbered) for numbered in enumerate(shards)], "pack", on_progress)
    kinds = sum((part.kinds for part in parts), Counter[str]())
    dropped = sum(part.dropped for part in parts)
    measured = [example for part in parts for example in part.measured]
    if not kinds:
        raise ValueError(f"pairs: {config.pairs} holds no pair within the budgets ({dropped} are longer)")
    if measured and not (config.out / "held-out").exists():
        save_rows(config.out / "held-out", pack(measured, config.row_length))
    report: dict[str, object] = {"kinds": dict(kinds), "dropped": dropped, "held_out": len(measured)}
    (config.out / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return report


def _pack_shard(job: tuple[EditRowsConfig, int, Shard]) -> _Packed:
    """Write the rows of one shard of pairs, unless they are there already."""
    config, number, shard = job
    tokenizer, generator = Tokenizer.load(config.tokenizer), random.Random(config.seed + number)
    kinds: Counter[str] = Counter()
    trained: list[Example] = []
    measured: list[Example] = []
    pairs = read_shard(config.pairs / shard.file, shard.sha256)
    for pair in pairs:
        example = edit_example(pair, tokenizer, config, generator)
        if example is not None:
            kinds[pair.kind] += 1
            (measured if is_held_out(pair, config.held_out) else trained).append(example)
    path = config.out / f"train-{number:03d}"
    if trained and not path.exists():
        save_rows(path, pack(trained, config.row_length))
    return _Packed(kinds=kinds, dropped=len(pairs) - kinds.total(), measured=measured)


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
