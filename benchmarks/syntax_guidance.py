"""What syntax-guided decoding changes: completions with and without it, at the same places, in every mode.

    python -m benchmarks.syntax_guidance REPOSITORY... [--count 200] [--seed 0] [--mode verify] [--mode diffusion]
                                          [--candidates 1] [--outcomes FILE] [--read FILE] [--json]

Places are those of `completion_quality`; the four ways take turns at each. *Written* is what the engine answers, up to
the end of its span; *shown* what is left of it by the rules of the server, or nothing. *No worse*: a fresh parse of the
whole file counts no more errors than with the hole; *parses*: it counts none. Several candidates are asked for as when
a person goes through alternatives; *others* are all but the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, median

import msgspec
from rich.console import Console
from rich.progress import track

from benchmarks.completion_quality import Case, cases, first_line, repeats_suffix
from benchmarks.report import share, show
from diffill.lsp_server.completion import ask
from diffill.lsp_server.confidence import chance
from diffill.lsp_server.documents import Document
from diffill.lsp_server.settings import Settings
from diffill.model.client import EngineClient, EngineSettings
from diffill.model.code.fitting import end_of
from diffill.model.code.guide import Guide
from diffill.model.code.languages import language_of
from diffill.model.code.syntax import Syntax
from diffill.model.request import Mode, unpack_ids
from diffill.model.tokenizer import Tokenizer

MODES: tuple[Mode, ...] = ("verify", "diffusion")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one way answered at one place."""

    path: str
    offset: int
    mode: Mode
    guided: bool
    kind: str
    finish: str
    errors_before: int
    errors_written: int
    shown: bool
    errors_shown: int
    offered: bool
    """Sure enough to be shown unasked, by the default of the setting `confidence`."""
    repeats: bool
    right: bool
    tokens: int
    forward_passes: int
    ms: float
    model: str
    others_written: tuple[int, ...] = ()
    """Errors with each further answer."""
    others_shown: tuple[int, ...] = ()
    """The same with each further distinct text that would be shown."""


async def run(
    chosen: list[Case], tokenizer: Tokenizer, modes: list[Mode], candidates: int, console: Console
) -> list[Outcome]:
    """Ask for every case in every way, the way that begins changing from case to case."""
    client = EngineClient(EngineSettings.from_environment())
    outcomes = []
    ways = [(mode, guided) for mode in modes for guided in (False, True)]
    try:
        status = await client.wait_ready()
        if status.model is None:
            raise SystemExit("syntax_guidance: the engine is ready but names no model")
        for number, case in enumerate(track(chosen, "completing", console=console)):
            turn = number % len(ways)
            for mode, guided in ways[turn:] + ways[:turn]:
                outcome = await _ask(
                    case, client, tokenizer, mode=mode, guided=guided, candidates=candidates, model=status.model.hash
                )
                if outcome is not None:
                    outcomes.append(outcome)
    finally:
        await client.close()
    return outcomes


async def _ask(
    case: Case,
    client: EngineClient,
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    guided: bool,
    candidates: int,
    model: str,
) -> Outcome | None:
    language = language_of(Path(case.path))
    document = Document(uri=Path(case.path).absolute().as_uri(), language=language, version=1, text=case.text)
    window = document.window(case.offset)
    question = ask(
        window,
        case.offset,
        tokenizer=tokenizer,
        mode=mode,
        guided=guided,
        candidates=candidates,
        invoked=candidates > 1,
    )
    if question is None:
        return None
    began = time.perf_counter()
    result = await client.decode(question.request)
    seconds = time.perf_counter() - began
    written = [question.written(unpack_ids(answer.tokens), tokenizer) for answer in result.answers()]
    errors = [_errors(case, text[: end_of(text, question.span, finished=True)], language) for text in written]
    completions = question.read(result, tokenizer)
    own = question.read(msgspec.structs.replace(result, alternatives=()), tokenizer)
    text = own[0].text if own else ""
    return Outcome(
        path=case.path,
        offset=case.offset,
        mode=mode,
        guided=guided,
        kind=question.span.kind,
        finish=result.finish,
        errors_before=_errors(case, "", language),
        errors_written=errors[0],
        shown=bool(text),
        errors_shown=_errors(case, text, language),
        offered=bool(own) and chance(own[0]) >= Settings().confidence,
        repeats=repeats_suffix(text, case.text[case.offset :]),
        right=bool(text) and first_line(text) == first_line(case.removed),
        tokens=len(result.tokens) // 4,
        forward_passes=result.forward_passes,
        ms=seconds * 1000,
        model=model,
        others_written=tuple(errors[1:]),
        others_shown=tuple(_errors(case, other.text, language) for other in completions if other.text != text),
    )


def _name(path: str, repositories: list[Path]) -> str:
    """Within its repository: where that lies on this machine is nobody's business."""
    root = next(root for root in repositories if Path(path).is_relative_to(root))
    return Path(path).relative_to(root).as_posix()


def _errors(case: Case, text: str, language: str) -> int:
    syntax = Syntax.parse(case.text[: case.offset] + text + case.text[case.offset :], language)
    return syntax.problems if syntax is not None else 0


def alarms(chosen: list[Case], tokenizer: Tokenizer) -> dict[str, object]:
    """How often the text that was there is taken for an error: when it is whole, and at each line end before that."""
    whole = cut = line_ends = places = 0
    for case in chosen:
        document = Document(uri="file:///a", language=language_of(Path(case.path)), version=1, text=case.text)
        question = ask(document.window(case.offset), case.offset, tokenizer=tokenizer)
        if question is None:
            continue
        guide = Guide(question.span, tokenizer)
        tokens = tokenizer.encode(case.removed)
        begun = [tokens[:count] for count in range(1, len(tokens)) if tokenizer.ends_line[tokens[count - 1]]]
        places += 1
        whole += guide.fault(tokens, True) is not None
        line_ends += len(begun)
        cut += sum(guide.fault(beginning, False) is not None for beginning in begun)
    return {"whole": share(whole, places), "at_line_ends": share(cut, line_ends)}


def summary(outcomes: list[Outcome]) -> list[dict[str, object]]:
    """A row for every way."""
    rows: list[dict[str, object]] = []
    for mode, guided in sorted({(outcome.mode, outcome.guided) for outcome in outcomes}):
        own = [outcome for outcome in outcomes if (outcome.mode, outcome.guided) == (mode, guided)]
        shown = [outcome for outcome in own if outcome.shown]
        rows.append(
            {
                "mode": mode,
                "guided": guided,
                "written_parses": share(sum(not outcome.errors_written for outcome in own), len(own)),
                "written_no_worse": share(sum(o.errors_written <= o.errors_before for o in own), len(own)),
                "shown": share(len(shown), len(own)),
                "shown_parses": share(sum(not outcome.errors_shown for outcome in shown), len(shown)),
                "shown_no_worse": share(sum(o.errors_shown <= o.errors_before for o in shown), len(shown)),
                "shown_repeats": share(sum(outcome.repeats for outcome in shown), len(shown)),
                "offered": share(sum(outcome.offered for outcome in own), len(own)),
                "offered_no_worse": share(
                    sum(o.errors_shown <= o.errors_before for o in own if o.offered), sum(o.offered for o in own)
                ),
                "right_of_all": share(sum(outcome.right for outcome in own), len(own)),
                **_others(own),
                "tokens": round(mean(outcome.tokens for outcome in own), 2),
                "forward_passes": round(mean(outcome.forward_passes for outcome in own), 2),
                "most_forward_passes": max(outcome.forward_passes for outcome in own),
                "mean_ms": round(mean(outcome.ms for outcome in own), 1),
                "median_ms": round(median(outcome.ms for outcome in own), 1),
            }
        )
    return rows


def _others(own: list[Outcome]) -> dict[str, object]:
    """Of the further answers how many there are, and how many parse."""
    written = [(errors, outcome.errors_before) for outcome in own for errors in outcome.others_written]
    shown = [(errors, outcome.errors_before) for outcome in own for errors in outcome.others_shown]
    if not written:
        return {}
    return {
        "others_a_place": round(len(written) / len(own), 2),
        "others_parse": share(sum(not errors for errors, _ in written), len(written)),
        "others_no_worse": share(sum(errors <= before for errors, before in written), len(written)),
        "others_shown_a_place": round(len(shown) / len(own), 2),
        "others_shown_parse": share(sum(not errors for errors, _ in shown), len(shown)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="*", type=Path)
    parser.add_argument("--read", action="append", type=Path, default=[], help="Outcomes of an earlier run; add them.")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", action="append", choices=MODES, help="Twice for both, which is the default.")
    parser.add_argument("--candidates", type=int, default=1, help="Answers asked for at each place.")
    parser.add_argument("--json", action="store_true", help="One JSON document on standard output.")
    parser.add_argument("--outcomes", type=Path, help="Write every outcome there, a line each.")
    arguments = parser.parse_args()
    known = [Outcome(**json.loads(line)) for path in arguments.read for line in path.read_text("utf-8").splitlines()]
    fresh: list[Outcome] = []
    report: dict[str, object] = {}
    if arguments.repositories:
        chosen = cases(arguments.repositories, arguments.count, arguments.seed)
        tokenizer = Tokenizer.load(EngineSettings.from_environment().checkpoint)
        report["right_text_at_fault"] = alarms(chosen, tokenizer)
        modes = arguments.mode or list(MODES)
        fresh = asyncio.run(run(chosen, tokenizer, modes, arguments.candidates, Console(stderr=True)))
    fresh = [replace(outcome, path=_name(outcome.path, arguments.repositories)) for outcome in fresh]
    if arguments.outcomes:
        arguments.outcomes.write_text("".join(json.dumps(asdict(outcome)) + "\n" for outcome in fresh), "utf-8")
    outcomes = known + fresh
    report |= {
        "models": sorted({outcome.model for outcome in outcomes}),
        "places": len({(outcome.path, outcome.offset) for outcome in outcomes}),
        "rows": summary(outcomes),
    }
    show(report, as_json=arguments.json)


if __name__ == "__main__":
    main()
