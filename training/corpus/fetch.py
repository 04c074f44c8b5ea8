"""Archives from their registries, with each registry's ordinary client. Nothing is installed, no package code runs."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from .archives import check_file, git_directory, read_metadata
from .declared import declared_licence
from .licences import LicenceGate
from .manifest import Package, PinnedFile

PYTHON_VERSION = "3.13"
"""The version asked for where a wheel runs on several: no code of it is run, so the newest gives most."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
GIT_URL = "https://github.com/{name}"
AT_ONCE = 4
HANG_GUARD_SECONDS = 1800


def fetch(
    packages: Sequence[Package], directory: Path, *, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Download what is missing or differs from its pin; returns one line for each package that could not be had.

    A file is moved into `directory` once its hash is right, so a run that was interrupted goes on where it stopped.
    """
    directory = directory.resolve()  # the clients run in a folder of their own
    directory.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for done, problem in enumerate(threads.map(lambda package: _fetch_one(package, directory), packages), start=1):
            if problem is not None:
                problems.append(problem)
            on_progress(done, len(packages))
    return problems


def pin(package: Package, directory: Path) -> Package:
    """Download a package whose files and licence are not known yet; both are then what is found in the archive.

    Raises:
        ValueError: the client failed, or the package's own files do not say that it is under a licence on the list.
    """
    directory = directory.resolve()  # the clients run in a folder of their own
    directory.mkdir(parents=True, exist_ok=True)
    if package.kind == "git":
        if not _has_commit(git_directory(directory, package), package.version):
            _clone(package, directory)
    else:
        package = _download_and_hash(package, directory)
    gate = LicenceGate()
    licence = declared_licence(read_metadata(directory, package), gate)
    if licence is None or not gate.accepts(licence):
        found = "no licence that is recognised" if licence is None else f"licence {licence!r}, which is not on the list"
        raise ValueError(f"{package.label}: its own files state {found}")
    return msgspec.structs.replace(package, licence=licence)


def _download_and_hash(package: Package, directory: Path) -> Package:
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as folder:
        files = [path for path in _download(package, Path(folder)) if path.suffix not in (".asc", ".dsc")]
        pinned = tuple(
            PinnedFile(file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest()) for path in sorted(files)
        )
        for path in files:
            path.replace(directory / path.name)
    return msgspec.structs.replace(package, files=pinned)


def _fetch_one(package: Package, directory: Path) -> str | None:
    try:
        if package.kind == "git":
            if not _has_commit(git_directory(directory, package), package.version):
                _clone(package, directory)
            return None
        missing = [pinned for pinned in package.files if not _is_there(directory, pinned)]
        if not missing:
            return None
        with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as folder:
            _download(package, Path(folder))
            for pinned in missing:
                check_file(Path(folder) / pinned.file, pinned.sha256)
                (Path(folder) / pinned.file).replace(directory / pinned.file)
    except ValueError as error:
        return f"{package.label}: {error}"
    return None


def _is_there(directory: Path, pinned: PinnedFile) -> bool:
    try:
        check_file(directory / pinned.file, pinned.sha256)
    except ValueError:
        return False
    return True


def _download(package: Package, folder: Path) -> list[Path]:
    run_client(_client(package, folder), folder)
    return [path for path in folder.iterdir() if path.is_file()]


def _client(package: Package, folder: Path) -> list[str]:
    """The command that downloads one package into its working directory `folder`."""
    if package.kind == "npm":
        return ["npm", "pack", "--silent", "--ignore-scripts", f"{package.name}@{package.version}"]
    if package.kind == "debian":
        return ["apt-get", "-qq", "source", "--download-only", "--only-source", f"{package.name}={package.version}"]
    tags = _wheel_tags(package.files[0].file) if package.files else []
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--only-binary", ":all:", "--dest", str(folder)),
        *(tags or ["--python-version", PYTHON_VERSION, *(f"--platform={name}" for name in PLATFORMS)]),
        f"{package.name}=={package.version}",
    ]


def _wheel_tags(file: str) -> list[str]:
    """pip's options that select this very wheel, whatever Python and system this runs on."""
    try:
        tags = parse_wheel_filename(file)[3]
    except InvalidWheelFilename:
        raise ValueError(f"{file} is not the name of a wheel") from None
    interpreter, abi = next((tag.interpreter, tag.abi) for tag in sorted(tags, key=str))
    version = PYTHON_VERSION
    if interpreter.startswith("cp") and abi == interpreter:
        version = f"{interpreter[2]}.{interpreter[3:]}"
    platforms = sorted({tag.platform for tag in tags} - {"any"})
    return ["--python-version", version, *(f"--platform={name}" for name in platforms)]


def _clone(package: Package, directory: Path) -> None:
    """One commit and its tree; the history stays where it is."""
    repository = git_directory(directory, package)
    run_client(["git", "init", "--quiet", "--bare", str(repository)], directory)
    url = GIT_URL.format(name=package.name)
    run_client(["git", "-C", str(repository), "fetch", "--quiet", "--depth=1", url, package.version], directory)


def _has_commit(repository: Path, commit: str) -> bool:
    command = ["git", "-C", str(repository), "cat-file", "-e", f"{commit}^{{tree}}"]
    return repository.is_dir() and subprocess.run(command, capture_output=True).returncode == 0


def run_client(command: list[str], folder: Path) -> None:
    """Raises ValueError with the last line that the client wrote."""
    try:
        process = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=HANG_GUARD_SECONDS
        )
    except FileNotFoundError:
        raise ValueError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"{command[0]} did not end within {HANG_GUARD_SECONDS} s") from None
    if process.returncode:
        lines = [line for line in (process.stderr + process.stdout).splitlines() if line.strip()]
        raise ValueError(f"{command[0]}: {lines[-1] if lines else f'exit status {process.returncode}'}")
