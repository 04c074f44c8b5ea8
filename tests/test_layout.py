"""What must hold of the source tree as a whole: packaging, import directions, and what is never used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cli", "lsp_server", "model", "training")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "samples" not in path.parts)
# Who may not import whom. `cli` may import all, and is imported by none.
FORBIDDEN = {
    "model": {"diffill.lsp_server", "diffill.training", "diffill.cli"},
    "training": {"diffill.lsp_server", "diffill.cli"},
    "lsp_server": {"diffill.training", "diffill.cli", "torch"},
    "cli": set[str](),
}
# They run code that a file brings along.
UNSAFE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
COME_WITH_LSPROTOCOL = {"attrs", "cattrs"}
HANG_GUARD_SECONDS = 60.0


def imported(tree: ast.Module, path: Path) -> Iterator[str]:
    """Full names of everything that a file imports, at its top or inside functions; relative ones resolved."""
    package = ["diffill", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


@pytest.fixture(params=SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def source(request: pytest.FixtureRequest) -> tuple[Path, ast.Module]:
    path: Path = request.param
    return path, ast.parse(path.read_text("utf-8"), str(path))


def test_every_library_is_declared() -> None:
    """What is here only because another library needs it, or was installed by hand, is missing on a new machine."""
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    declared = {canonical(re.split(r"[\[<>=~!;\s]", line)[0]) for line in requirements} | COME_WITH_LSPROTOCOL
    providers = packages_distributions()
    libraries = {
        name.split(".")[0] for path in SOURCES for name in imported(ast.parse(path.read_text("utf-8"), str(path)), path)
    } - {"diffill", *sys.stdlib_module_names}
    undeclared = {
        library
        for library in libraries
        if not declared & {canonical(name) for name in providers.get(library, [library])}
    }
    assert not undeclared


def canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_every_package_is_listed() -> None:
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    setuptools = project["tool"]["setuptools"]
    folders = sorted(
        str(path.parent.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")
    )
    names = ["diffill." + folder.replace("/", ".") for folder in folders]
    assert sorted(setuptools["packages"]) == sorted(names)
    assert setuptools["package-dir"] == dict(zip(names, folders, strict=True))


def test_every_folder_with_sources_is_a_package() -> None:
    assert all((path.parent / "__init__.py").is_file() for path in SOURCES)


def test_imports_go_one_way(source: tuple[Path, ast.Module]) -> None:
    path, tree = source
    forbidden = FORBIDDEN[path.relative_to(ROOT).parts[0]]
    assert not [name for name in imported(tree, path) for module in forbidden if is_within(name, module)]


def test_our_packages_are_imported_by_their_full_name(source: tuple[Path, ast.Module]) -> None:
    # A bare `import model` would find the user's model.py.
    path, tree = source
    assert not {name for name in imported(tree, path) if name.split(".")[0] in PACKAGES}


def test_nothing_that_runs_code_from_files(source: tuple[Path, ast.Module]) -> None:
    path, tree = source
    assert not {name for name in imported(tree, path) if name.split(".")[0] in UNSAFE}
    torch_load = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "load"
        and isinstance(node.value, ast.Name)
        and node.value.id == "torch"
    ]
    assert not torch_load
    assert "torch.load" not in imported(tree, path)


@pytest.mark.parametrize(
    "module",
    ["diffill.lsp_server.server", "diffill.model.client", "diffill.cli.main", "diffill.model.service"],
)
def test_starts_without_torch(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_GUARD_SECONDS, check=True
    )
    assert process.stdout.strip() == ""


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from . import a\nfrom .b import c\nfrom ..d import e\nimport f.g")
    names = set(imported(tree, ROOT / "model" / "decoding" / "x.py"))
    assert names == {
        *("diffill.model.decoding", "diffill.model.decoding.a", "diffill.model.decoding.b"),
        *("diffill.model.decoding.b.c", "diffill.model.d", "diffill.model.d.e", "f.g"),
    }
