"""`diffill adapter`: what a team tuned, installed and chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import adapter_directory, checkpoint_option, json_option
from .problem import one_line

if TYPE_CHECKING:
    from diffill.model.adapter_manifest import Manifest, RehearsedData
    from diffill.model.adapter_store import AdapterStore

workspace_option = click.option(
    "--workspace",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Only for files in DIR; for all by default.",
)


@click.group()
def adapter() -> None:
    """Install, choose and check adapters of the model."""


@adapter.command()
@click.argument("source", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also when the gate found it no better than the base.")
@checkpoint_option
@json_option
def install(source: Path, force: bool, checkpoint: Path | None, as_json: bool) -> None:
    """Check an adapter and copy it to where Diffill keeps them."""
    with one_line():
        manifest = _checked(source, checkpoint)
        if not force and not is_better(manifest):
            raise click.ClickException(f"{source}: {gate_in_words(manifest)}; --force installs it anyway")
        installed = _store().install(source)
    _say(as_json, {"installed": installed.key}, f"installed {installed.key}; `diffill adapter use` chooses it")


@adapter.command()
@click.argument("name", required=False)
@click.option("--base", is_flag=True, help="The model as it ships, in place of an adapter.")
@workspace_option
@json_option
def use(name: str | None, base: bool, workspace: Path | None, as_json: bool) -> None:
    """Choose an installed adapter."""
    from diffill.model.adapter_store import BASE

    if (name is None) != base:
        raise click.UsageError("NAME: name an adapter, or give --base, and not both")
    with one_line():
        store = _store()
        key = store.find(name).key if name is not None else BASE
        store.use(key, workspace)
    _say_used(as_json, key, workspace)


@adapter.command()
@workspace_option
@json_option
def rollback(workspace: Path | None, as_json: bool) -> None:
    """Go back to what was chosen before."""
    with one_line():
        key = _store().rollback(workspace)
    _say_used(as_json, key, workspace)


@adapter.command("list")
@json_option
def list_installed(as_json: bool) -> None:
    """Show what is installed and what is used where."""
    with one_line():
        store = _store()
        installed = store.installed()
        used = {place: made[-1] for place, made in store.choices().workspaces.items()}
    rows = [
        {
            "name": one.key,
            "base": f"{one.manifest.base.name} {one.manifest.base.hash}",
            "repository": one.manifest.data.repository,
            "created": one.manifest.created,
            "used_in": [place or "all workspaces" for place, key in used.items() if key == one.key],
        }
        for one in installed
    ]
    lines = [f"{row['name']}  for {row['base']}  used in: {', '.join(row['used_in']) or 'none'}" for row in rows]
    _say(as_json, {"adapters": rows}, "\n".join(lines) or "no adapter is installed")


@adapter.command()
@click.argument("path", metavar="PATH")
@json_option
def forget(path: str, as_json: bool) -> None:
    """List the installed adapters that saw PATH, a file or a folder of the repository they were made of.

    What was learned cannot be taken out of an adapter: remove those that are listed, and tune anew without the file.
    """
    with one_line():
        seen = _store().that_saw(path)
    rows: list[dict[str, Any]] = [
        {"name": one.key, "repository": one.manifest.data.repository, "files": files, "path": str(one.path)}
        for one, files in seen
    ]
    lines = [f"{row['name']}  saw {len(row['files'])} of {row['repository']}: {row['path']}" for row in rows]
    _say(as_json, {"adapters": rows}, "\n".join(lines) or f"no installed adapter saw {path}")


@adapter.command()
@click.argument("name", metavar="PATH|NAME")
@checkpoint_option
@json_option
def check(name: str, checkpoint: Path | None, as_json: bool) -> None:
    """See that an adapter is whole and belongs to the base, and what it was made of."""
    with one_line():
        manifest = _checked(adapter_directory(name), checkpoint)
    data = manifest.data
    document: dict[str, Any] = {
        "name": manifest.name,
        "base": f"{manifest.base.name} {manifest.base.hash}",
        "rank": manifest.factors.rank,
        "repository": data.repository,
        "trained_to": data.trained_to,
        "files": len(data.files),
        "edits": sum(data.edits.values()),
        "licences": data.licences,
        "rehearsed": rehearsed_in_words(data.rehearsed),
        "secrets": data.secrets,
        "created": manifest.created,
        "better": is_better(manifest),
        "gate": gate_in_words(manifest),
        "metrics": manifest.metrics,
    }
    _say(as_json, document, "\n".join(f"{key}: {value}" for key, value in document.items()))


def is_better(manifest: Manifest) -> bool:
    """What the gate has not measured is not better."""
    return manifest.gate is not None and manifest.gate.verdict == "better"


def rehearsed_in_words(data: RehearsedData | None) -> str:
    if data is None:
        return "nothing"
    return f"{data.rows} rows ({data.share:.0%} of all) of {len(data.files)} files of the {data.source}, {data.licence}"


def gate_in_words(manifest: Manifest) -> str:
    if manifest.gate is None:
        return "it has not been measured against the base"
    words = {"worse": "the gate refused it: worse in", "same": "the gate found no gain", "better": "better in"}
    return " ".join([words[manifest.gate.verdict], "; ".join(manifest.gate.reasons)]).strip()


def _checked(directory: Path, checkpoint: Path | None) -> Manifest:
    from diffill.model.adapter import load_adapter
    from diffill.model.config import DEFAULT_CHECKPOINT

    return load_adapter(directory, base=checkpoint or DEFAULT_CHECKPOINT).manifest


def _store() -> AdapterStore:
    from diffill.model.adapter_store import AdapterStore

    return AdapterStore()


def _say_used(as_json: bool, key: str, workspace: Path | None) -> None:
    where = str(workspace.resolve()) if workspace else "all workspaces"
    _say(as_json, {"used": key or None, "in": where}, f"{key or 'the base'} is used in {where}")


def _say(as_json: bool, document: dict[str, Any], line: str) -> None:
    click.echo(json.dumps(document) if as_json else line)
