"""A team's repository, a tiny base, and the commands that tune it, called in this process.

No assertions here but on what a command answers: tests also run under `python -O`, which drops those of helpers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from diffill.cli.main import diffill
from tests.tiny import tiny_checkpoint, tiny_config
from tests.training.git_repository import BODIES, WorkTree, module


def small_base(path: Path, seed: int = 0) -> Path:
    config = tiny_config(hidden_size=32, num_heads=1, num_key_value_heads=1)
    return tiny_checkpoint(path, config=config, seed=seed)


def team_repository(path: Path) -> WorkTree:
    """One file, twelve commits."""
    tree = WorkTree(path)
    for number in range(12):
        bodies = [*BODIES[:5], f"return first * {number} + second"]
        tree.commit(f"Set the factor of it to {number}", {"pkg/a.py": module(*bodies)})
    return tree


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(diffill, [str(argument) for argument in arguments])


def done(*arguments: str | Path) -> Any:
    result = call(*arguments, "--json")
    if result.exit_code:
        raise RuntimeError(result.output)
    return json.loads(result.stdout)


def last_line(result: Result) -> str:
    return result.stderr.strip().splitlines()[-1]
