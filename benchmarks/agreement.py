"""Whether strict `verify` answers as `ar` does: random prompts, 1 to 8 side by side, over every state of the cache.

    python -m benchmarks.agreement [--model DIR] [--device D] [--count 1000] [--first 0] [--tokens 12] [--seed 0]
                                   [--guided] [--outcomes FILE] [--json]

A prompt is a random cut of a file of Python's own library, or random token ids. It is asked for in both modes, one
after the other, each time over a cache that is empty, holds a random part of it, has been shrunk, or is whatever the
prompts before have left. With `--guided` every prompt brings the text around it and wants 1 to 3 answers, all mended
where they break the code: answers, ends, scores and alternatives must be the same, in both modes mended or in neither.
Exit status 1 when one answer differs. Prompts and the order depend on the number and the seed alone, so `--first` goes
on where a run was interrupted; groups in FILE are not asked for again, and the report is about all in it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track

from benchmarks.report import show
from diffill.lsp_server.completion import ask
from diffill.lsp_server.documents import Document
from diffill.model.config import DEFAULT_CHECKPOINT
from diffill.model.decoder_loading import load_decoder
from diffill.model.engine import BlockDecoder
from diffill.model.fim import fim_prompt
from diffill.model.request import DecodeRequest, DecodeResult, Mode, pack_ids
from diffill.model.tokenizer import NUM_CONTROL_IDS, Tokenizer

LIBRARY = Path(asyncio.__file__).parents[1]
GROUPS = (1, 2, 4, 8)
LONGEST_PROMPT = 300
AROUND = 2_000
"""Characters of a file that are looked at when answers are mended."""
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


def requests(
    seed: int, group: int, tokenizer: Tokenizer, files: Sequence[Path], *, tokens: int, guided: bool
) -> list[DecodeRequest]:
    """The requests of one group, some of whose prompts begin alike."""
    source = random.Random(f"{seed} {group}")
    if guided:
        return [_guided(source, tokenizer, files, tokens) for _ in range(size_of(group))]
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
    return [DecodeRequest(prompt=pack_ids(prompt), max_tokens=tokens) for prompt in made]


def _guided(source: random.Random, tokenizer: Tokenizer, files: Sequence[Path], tokens: int) -> DecodeRequest:
    """What the server would ask where a piece of code is missing; one time in five what surrounds it is no code."""
    while True:
        if source.random() < 0.2:
            choices = source.choices(range(NUM_CONTROL_IDS, tokenizer.vocabulary_size), k=source.randrange(1, 100))
            text = tokenizer.decode(choices)
        else:
            text = source.choice(files).read_text("utf-8", "replace")
            start = source.randrange(max(1, len(text) - AROUND))
            text = text[start : start + AROUND]
        at = source.randrange(len(text) + 1)
        text = text[:at] + text[at + source.randrange(60) :]
        document = Document(uri="file:///a.py", language="python", version=1, text=text)
        candidates = source.randint(1, 3)
        question = ask(
            document.window(at), at, tokenizer=tokenizer, max_tokens=tokens, candidates=candidates, invoked=True
        )
        if question is not None and question.request.guided:
            return question.request


def prepare(decoder: BlockDecoder, state: str, group: Sequence[DecodeRequest]) -> None:
    """Bring the cache into a state before a group of requests is asked."""
    if state in ("empty", "partly", "shrunk"):
        decoder.pool.forget()
    if state == "partly":
        for number, request in enumerate(group):
            beginning = request.prompt[: len(request.prompt) // 4 * (number + 1) // (len(group) + 1) * 4]
            if beginning:
                decoder.decode(DecodeRequest(prompt=beginning, max_tokens=0))
    if state == "shrunk" and decoder.pool.capacity > 256:
        decoder.pool.shrink()


def answers(decoder: BlockDecoder, mode: Mode, group: Sequence[DecodeRequest]) -> list[DecodeResult]:
    """All requests of a group side by side."""
    decodings = [decoder.begin(msgspec.structs.replace(request, mode=mode)) for request in group]
    while going := [decoding for decoding in decodings if not decoding.over]:
        decoder.advance(going)
    results = []
    for decoding in decodings:
        if decoding.result is None:
            raise decoding.error or RuntimeError("a decoding ended without a result")
        results.append(decoding.result)
    return results


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one group."""

    key: str
    """Of the model and of what was asked."""
    group: int
    prompts: int
    asked: dict[str, int]
    """Prompts by mode and state of the cache."""
    differ: list[str]
    """The prompts that the modes answered differently."""
    changed: int = 0
    """Prompts whose answers are others without guidance."""
    not_mended: int = 0
    """Prompts with an answer that ends in an error nonetheless."""


def compare(decoder: BlockDecoder, key: str, number: int, seed: int, group: Sequence[DecodeRequest]) -> Outcome:
    """Ask a group in both modes."""
    said: dict[Mode, list[DecodeResult]] = {}
    asked = Counter[str]()
    source = random.Random(f"{seed} {number} order")
    modes: list[Mode] = ["ar", "verify"]
    for mode in source.sample(modes, 2):
        state = source.choice(CACHES)
        prepare(decoder, state, group)
        said[mode] = answers(decoder, mode, group)
        asked[f"{mode}, cache {state}"] += len(group)
    pairs = enumerate(zip(said["ar"], said["verify"], strict=True))
    plain = [msgspec.structs.replace(request, guided=False) for request in group if request.guided]
    unguided = answers(decoder, "verify", plain) if plain else []
    return Outcome(
        key=key,
        group=number,
        prompts=len(group),
        asked=dict(asked),
        differ=[f"{number}.{at}" for at, (one, other) in pairs if _content(one) != _content(other)],
        changed=sum(
            [answer.tokens for answer in one.answers()] != [answer.tokens for answer in other.answers()]
            for one, other in zip(said["verify"], unguided, strict=False)
        ),
        not_mended=sum(any(answer.finish == "error" for answer in one.answers()) for one in said["verify"]),
    )


def _content(result: DecodeResult) -> object:
    """All of it that does not depend on how it was computed."""
    return result.answers(), result.token_scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEFAULT_CHECKPOINT)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--count", type=int, default=1000, help="Prompts, rounded up to whole groups.")
    parser.add_argument("--first", type=int, default=0, help="The group to begin with.")
    parser.add_argument("--tokens", type=int, default=12, help="Longest answer.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true", help="With the text around, and answers mended.")
    parser.add_argument("--outcomes", type=Path, help="Keep what became of every group there, a line each.")
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    arguments = parser.parse_args()
    decoder = load_decoder(checkpoint=arguments.model, device=arguments.device)
    if "verify" not in decoder.info.modes:
        parser.error(f"--model: {decoder.info.name} has not learned verify")
    tokenizer = Tokenizer.load(arguments.model)
    files = sorted(LIBRARY.glob("*.py"))
    key = f"{decoder.info.hash} {decoder.info.device} {arguments.seed} {arguments.tokens} {arguments.guided}"
    kept: Path | None = arguments.outcomes
    lines = kept.read_bytes().splitlines() if kept and kept.exists() else []
    outcomes = [outcome for line in lines if (outcome := msgspec.json.decode(line, type=Outcome)).key == key]
    known = {outcome.group for outcome in outcomes}
    groups = [group for group in groups_from(arguments.first, arguments.count) if group not in known]
    for number in track(groups, "groups of prompts", console=Console(stderr=True)):
        group = requests(arguments.seed, number, tokenizer, files, tokens=arguments.tokens, guided=arguments.guided)
        outcomes.append(compare(decoder, key, number, arguments.seed, group))
        if kept:
            with kept.open("ab") as file:
                file.write(msgspec.json.encode(outcomes[-1]) + b"\n")
    asked = sum((Counter(outcome.asked) for outcome in outcomes), Counter[str]())
    differ = [prompt for outcome in outcomes for prompt in outcome.differ]
    report: dict[str, object] = {
        "model": f"{decoder.info.name} {decoder.info.hash}",
        "device": decoder.info.device,
        "groups": len(outcomes),
        "prompts": sum(outcome.prompts for outcome in outcomes),
        "asked": dict(asked),
        "differ": differ,
    }
    if arguments.guided:
        report["changed_by_guidance"] = sum(outcome.changed for outcome in outcomes)
        report["not_mended"] = sum(outcome.not_mended for outcome in outcomes)
    show(report, as_json=arguments.json)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
