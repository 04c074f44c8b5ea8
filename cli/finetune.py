"""`diffill finetune`: a repository of one's own to an adapter."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .case_bar import case_bar
from .gate import print_gate
from .options import checkpoint_option, json_option
from .problem import one_line

if TYPE_CHECKING:
    from diffill.model.adapter_manifest import Provenance
    from diffill.training.evaluation.gate import GateReport
    from diffill.training.finetune.plan import Plan
    from diffill.training.finetune.run import Trained

day = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("repo", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="ADAPTER", help="Directory to write the adapter to.")
@click.option("--name", help="Name of the adapter; that of --out by default.")
@click.option("--paths", multiple=True, metavar="PATTERN", help="Only files that match, as in .gitignore; repeatable.")
@click.option("--since", type=day, help="Leave edits of older commits out.")
@click.option("--until", type=day, help="Commits from this day on only measure; by default the newest tenth does.")
@click.option(
    "--max-minutes", type=click.FloatRange(0, min_open=True), default=45.0, show_default=True, help="Of training."
)
@click.option("--epochs", type=click.IntRange(min=1), default=6, show_default=True, help="Passes over the repository.")
@click.option(
    "--rehearsal",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.2,
    show_default=True,
    metavar="SHARE",
    help="Of the rows: packages of Python's standard library, so that other code is not forgotten.",
)
@click.option("--rank", type=click.IntRange(1, 256), default=16, show_default=True, help="Size of the adapter.")
@click.option("--full", is_flag=True, help="Train all weights; --out gets a whole checkpoint in place of an adapter.")
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="At its peak. By default 2e-3, with --full 1e-4, and less for a long run.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="That train together on a CPU, a core and a copy of the weights each. By default as many as there is room "
    "for, when there are five minutes or more.",
)
@click.option(
    "--compile/--no-compile",
    "compile_",
    default=None,
    help="Compile the layers: a minute at first, twice as fast then. By default on a CPU that has a C++ compiler, "
    "when there are five minutes or more.",
)
@click.option("--shard", is_flag=True, help="Under torchrun: share out the weights among the processes, too (FSDP2).")
@click.option(
    "--save-every",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How much a run that is killed may lose.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    metavar="CONFIG",
    help="Further cases that must not be forgotten, JSON as for `diffill eval gate`; their text is not trained on.",
)
@click.option(
    "--gate-cases",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    metavar="N",
    help="Cases of each kind in the gate; 0 leaves it out, and the adapter cannot be installed without --force.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be trained on, and end.")
@checkpoint_option
@json_option
@click.pass_context
def finetune(
    context: click.Context,
    repo: Path,
    out: Path | None,
    name: str | None,
    paths: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    max_minutes: float,
    epochs: int,
    rehearsal: float,
    rank: int,
    full: bool,
    processes: int | None,
    compile_: bool | None,
    shard: bool,
    save_every: float,
    learning_rate: float | None,
    seed: int,
    device: str,
    cases: Path | None,
    gate_cases: int,
    dry_run: bool,
    checkpoint: Path | None,
    as_json: bool,
) -> None:
    """Tune the model on the git repository REPO.

    Read is what `git ls-files` lists, as committed, and the history of those files; nothing leaves the machine. Ctrl-C
    ends the run early and keeps what it learned; the same command again goes on. A run that is through is measured
    on the later commits against the base alone: exit code 1 when it is worse.
    """
    if out is None and not dry_run:
        raise click.UsageError("--out: it says where the adapter goes; --dry-run needs none")
    with one_line():
        from diffill.model.config import DEFAULT_CHECKPOINT
        from diffill.model.device import choose_device
        from diffill.training.finetune.plan import FinetuneConfig, plan
        from diffill.training.lora import LoraConfig
        from diffill.training.processes import leads

        config = FinetuneConfig(
            repository=repo,
            base=checkpoint or DEFAULT_CHECKPOINT,
            until=until.date() if until else None,
            since=since.date() if since else None,
            paths=paths,
            epochs=epochs,
            rehearsal_share=rehearsal,
            minutes=max_minutes,
            device=choose_device(device)[0],
            lora=LoraConfig(rank=rank),
            full=full,
            processes=processes,
            compile=compile_,
            shard=shard,
            save_every=save_every,
            learning_rate=learning_rate,
            cases=cases,
            seed=seed,
        )
        found = plan(config)
    if dry_run:
        _print(_preview(found), as_json)
        return
    assert out is not None  # noqa: S101 -- checked above
    if not as_json and leads():
        _print(_preview(found), as_json, err=True)
    trained = _train(found, out, name or out.resolve().name)
    if trained is None:
        return  # the leading process speaks
    report = None
    if gate_cases and not trained.ended_early:
        report = _judge(found, out, trained.made, gate_cases)
    verdict = report.verdict if report else None
    made = trained.made
    kind = "checkpoint" if full else "adapter"
    told = {kind: str(out), "name": made.name, "base": made.base.hash, **made.metrics, "gate": verdict}
    if report is not None and not as_json:
        print_gate(report)
    _print(told, as_json)
    context.exit(1 if verdict == "worse" else 0)


def _train(found: Plan, out: Path, name: str) -> Trained | None:
    from diffill.training.finetune.run import train

    from .training_bar import training_bar

    with one_line(), training_bar() as show:
        return train(found, out, name, show)


def _judge(found: Plan, out: Path, made: Provenance, most: int) -> GateReport | None:
    """None where there is nothing to judge by, which is said."""
    from diffill.training.finetune.gate import NothingToJudgeBy
    from diffill.training.finetune.run import judge

    with one_line(), contextlib.ExitStack() as bars:
        try:
            return judge(found, out, made, most=most, on_cases=lambda total: bars.enter_context(case_bar(total)))
        except NothingToJudgeBy as problem:
            click.echo(f"not measured: {problem}", err=True)
            return None


def _preview(found: Plan) -> dict[str, Any]:
    """Everything that would be read, and why the rest would not; of secrets only where they are."""
    from diffill.training.finetune.standard_library import LICENCE, NAME

    selection, estimate = found.selection, found.estimate()
    return {
        "trained_to": found.repository.trained_to,
        "judged_to": found.repository.judged_to,
        "files": {document.path: len(document.text) for document in selection.documents},
        "characters": selection.characters,
        "refused": selection.refused,
        "refused_by_reason": dict(selection.reasons().most_common()),
        "edits": len(found.learned.pairs),
        "edits_by_kind": dict(Counter(pair.kind for pair in found.learned.pairs)),
        "refused_edits": dict(found.learned.refused.most_common()),
        "later_edits": len(found.judged.pairs),
        "rehearsal": {
            "share": found.config.rehearsal_share if found.rehearsal.documents else 0.0,
            "files": len(found.rehearsal.documents),
            "characters": found.rehearsal.characters,
            "source": NAME,
            "licence": LICENCE,
        },
        "secrets": [f"{place.path}:{place.line}" for place in selection.secrets],
        "secrets_in_history": found.learned.secrets + found.judged.secrets,
        "estimate": {
            "tokens": estimate.tokens,
            "steps": estimate.steps,
            "minutes": round(estimate.minutes, 1),
            "learning_rate": float(f"{found.learning_rate:.3g}"),
            "processes": estimate.processes,
            "memory_gb": estimate.memory_gb,
        },
    }


def _print(document: dict[str, Any], as_json: bool, *, err: bool = False) -> None:
    import json

    if as_json:
        click.echo(json.dumps(document))
        return
    for name, value in document.items():
        if isinstance(value, dict):
            click.echo(f"{name}: {len(value)}" if len(value) > 12 else f"{name}:", err=err)
            for key, what in list(value.items())[:40]:
                click.echo(f"    {key}: {what}", err=err)
        elif isinstance(value, list):
            click.echo(f"{name}: {len(value)}", err=err)
            for place in value:
                click.echo(f"    masked or left out: {place}", err=err)
        else:
            click.echo(f"{name}: {value}", err=err)
