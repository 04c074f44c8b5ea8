"""Python's standard library, which is on every machine: modules measure what is forgotten, packages are rehearsed.

The modules are the files at its top. Packages are folders that Python itself names, so that nothing that was installed
beside them is read.
"""

from __future__ import annotations

import platform
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

from ..corpus.benchmarks import BenchmarkWindows
from ..corpus.quality import is_test

NAME = f"Python {platform.python_version()} standard library"
LICENCE = "PSF-2.0"
TABLES = "encodings"
"""A package of nothing but tables of characters."""


@cache
def measured_modules() -> dict[str, str]:
    """Texts by file name."""
    return {path.name: _text(path) for path in sorted(_directory().glob("*.py"))}


@cache
def measured_windows() -> BenchmarkWindows:
    """Packages hold passages of the modules, too: `lib2to3` has a `tokenize.py` of its own."""
    return BenchmarkWindows.of_texts(measured_modules().values())


def package_files() -> Iterator[PurePosixPath]:
    """Below the library, without tests."""
    for name in sorted(sys.stdlib_module_names - {TABLES}):
        for path in sorted((_directory() / name).rglob("*.py")):
            inside = PurePosixPath(path.relative_to(_directory()).as_posix())
            if not is_test(inside):
                yield inside


def package_text(path: PurePosixPath) -> str:
    return _text(_directory() / path)


def _directory() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace")
