"""Whether strict `verify` answers as `ar` does: random prompts, 1 to 8 side by side, over every state of the cache.

    python -m benchmarks.agreement [--model DIR] [--device D] [--count 1000] [--first 0] [--tokens 12] [--seed 0]

A prompt is a random cut of a file of Python's own library, or random token ids. It is asked for in both modes, one
after the other, each time over a cache that is empty, holds a random part of it, has been shrunk, or is whatever the
prompts before have left. Exit status 1 when one answer differs. `--first` goes on where a run was interrupted: prompts
and the order depend on the number and the seed alone.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.report import show
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.decoder_loading import load_decoder
from diffill.model.engine import BlockDecoder
from diffill.model.fim import fim_prompt
from diffill.model.request import DecodeRequest, Mode, pack_ids
from diffill.model.tokenizer import NUM_CONTROL_IDS, Tokenizer

LIBRARY = Path(asyncio.__file__).parents[1]
GROUPS = (1, 2, 4, 8)
LONGEST_PROMPT = 300
CACHES = ("empty", "partly", "shrunk", "as left")


def size_of(group: int) -> int:
    """How many prompts it has."""
    return GROUPS[group % len(GROUPS)]


def groups_from(first: int, count: int) -> range:
    """As many whole groups as hold `count` prompts."""
    past = first
    while sum(map(size_of, range(first, past))) < count:
        past += 1
    return range(first, past)


def prompts(seed: int, group: int, tokenizer: Tokenizer, files: Sequence[Path]) -> list[list[int]]:
    """The prompts of one group, some of which begin alike."""
    source = random.Random(f"{seed} {group}")
    made: list[list[int]] = []
    while len(made) < size_of(group):
        length = source.randrange(1, LONGEST_PROMPT)
        if made and source.random() < 0.3:
            made.append([*made[0], *source.choices(range(NUM_CONTROL_IDS, tokenizer.vocabulary_size), k=3)])
        elif source.random() < 0.3:
            made.append(source.choices(range(NUM_CONTROL_IDS, tokenizer.vocabulary_size), k=length))
        else:
            ids = tokenizer.encode(source.choice(files).read_text("utf-8", "replace")[:20_000])
            at = source.randrange(len(ids)) if ids else 0
            made.append(fim_prompt(ids[:at], ids[at + 8 :], max_prefix=length, max_suffix=length // 3))
    return made


def prepare(decoder: BlockDecoder, state: str, group: Sequence[Sequence[int]]) -> None:
    """Bring the cache into a state before a group of prompts is asked for."""
    if state in ("empty", "partly", "shrunk"):
        decoder.pool.forget()
    if state == "partly":
        for number, prompt in enumerate(group):
            beginning = prompt[: len(prompt) * (number + 1) // (len(group) + 1)]
            if beginning:
                decoder.decode(DecodeRequest(prompt=pack_ids(beginning), max_tokens=0))
    if state == "shrunk" and decoder.pool.capacity > 256:
        decoder.pool.shrink()


def answers(decoder: BlockDecoder, mode: Mode, group: Sequence[Sequence[int]], tokens: int) -> list[tuple[bytes, str]]:
    """All requests of a group side by side."""
    requests = [DecodeRequest(prompt=pack_ids(prompt), mode=mode, max_tokens=tokens) for prompt in group]
    decodings = [decoder.begin(request) for request in requests]
    while going := [decoding for decoding in decodings if not decoding.over]:
        decoder.advance(going)
    results = []
    for decoding in decodings:
        if decoding.result is None:
            raise decoding.error or RuntimeError("a decoding ended without a result")
        results.append((decoding.result.tokens, decoding.result.finish))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEFAULT_CHECKPOINT)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", type=int, default=1000, help="Prompts, rounded up to whole groups.")
    parser.add_argument("--first", type=int, default=0, help="The group to begin with.")
    parser.add_argument("--tokens", type=int, default=12, help="Longest answer.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    decoder = load_decoder(checkpoint=arguments.model, device=arguments.device)
    if "verify" not in decoder.info.modes:
        parser.error(f"--model: {decoder.info.name} has not learned verify")
    tokenizer = Tokenizer.load(arguments.model)
    files = sorted(LIBRARY.glob("*.py"))
    groups = groups_from(arguments.first, arguments.count)
    asked: Counter[str] = Counter()
    differences = []
    for number in track(groups, "groups of prompts", console=Console(stderr=True)):
        group = prompts(arguments.seed, number, tokenizer, files)
        said = []
        source = random.Random(f"{arguments.seed} {number} order")
        for mode in source.sample(("ar", "verify"), 2):
            state = source.choice(CACHES)
            prepare(decoder, state, group)
            said.append(answers(decoder, mode, group, arguments.tokens))
            asked[f"{mode}, cache {state}"] += len(group)
        differences += [f"{number}.{at}" for at, (one, other) in enumerate(zip(*said, strict=True)) if one != other]
    report: dict[str, object] = {
        "model": f"{decoder.info.name} {decoder.info.hash}",
        "device": decoder.info.device,
        "groups": [groups.start, groups.stop],
        "prompts": sum(asked.values()) // 2,
        "asked": dict(asked),
        "differ": differences,
    }
    show(report, as_json=arguments.json)
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
