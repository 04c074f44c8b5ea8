"""What a linter says about a whole file: certain mistakes only, never style."""

from __future__ import annotations

import collections
import json
import subprocess
import sys

RULES = "E9,F"
"""Syntax errors and everything Pyflakes knows: undefined and unused names, broken formats, lost returns."""


def diagnose(text: str, language: str) -> collections.Counter[str] | None:
    """How often each diagnostic is raised, as `CODE message`; None for a language without a linter here.

    Raises:
        ValueError: the linter is not installed or does not answer.
    """
    if language != "python":
        return None
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", RULES]
    process = subprocess.run(
        [*command, "--output-format", "json", "-"],
        input=text.encode("utf-8", errors="replace"),
        capture_output=True,
        timeout=60,
        check=False,
    )
    try:
        found = json.loads(process.stdout)
    except ValueError:
        reason = process.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise ValueError(f"eval: ruff does not answer: {reason[-1] if reason else process.returncode}") from None
    return collections.Counter(f"{item['code'] or 'invalid-syntax'} {item['message']}" for item in found)
