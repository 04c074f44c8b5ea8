"""Archives: only the pinned ones, only text, and broken ones by name."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from diffill.training.corpus.archives import LARGEST_MEMBER, Contents, git_directory, read_metadata, read_package
from diffill.training.corpus.manifest import Package, PinnedFile
from tests.training.corpus.small_archives import store, tarball, wheel

MEMBERS = {
    "package/a.py": b"x = 1\r\ny = 2\rz = 3\n",
    "package/b.ts": b"const x = 1\n",
    "package/c.tsx": b"<a/>\n",
    "package/d.mjs": b"export {}\n",
    "package/e.h": b"int f(void);\n",
    "package/f.h": b"\nnamespace g { }\n",
    "package/latin.py": b"s = '\xe9'\n",
    "package/data.json": b"{}",
    "package/e.pyc": b"\0\0",
    "package/huge.py": b"#" * (LARGEST_MEMBER + 1),
    "package/LICENSE": b"do what you want\n",
}
LANGUAGES = {"a.py": "python", "b.ts": "typescript", "c.tsx": "tsx", "d.mjs": "javascript", "e.h": "c", "f.h": "cpp"}
FORMS = {"a-1-py3-none-any.whl": wheel, "a.tgz": tarball, "a.orig.tar.xz": lambda m: tarball(m, compression="xz")}


def packaged(*files: PinnedFile, languages: tuple[str, ...] = ()) -> Package:
    return Package(kind="npm", name="a", version="1", licence="MIT", files=files, languages=languages)


def languages_of(contents: Contents) -> dict[str, str]:
    return {source.path.name: source.language for source in contents.sources}


@pytest.mark.parametrize("name", FORMS)
def test_source_files_are_read(tmp_path: Path, name: str) -> None:
    contents = read_package(tmp_path, packaged(store(tmp_path, name, FORMS[name](MEMBERS))))
    assert languages_of(contents) == LANGUAGES
    assert contents.undecodable == 1
    assert {source.path.name: source.text for source in contents.sources}["a.py"] == "x = 1\ny = 2\nz = 3\n"
    assert [Path(path).name for path in contents.metadata] == ["LICENSE"]


def test_only_the_languages_that_are_wanted(tmp_path: Path) -> None:
    pinned = store(tmp_path, "a.tgz", tarball(MEMBERS))
    contents = read_package(tmp_path, packaged(pinned, languages=("python", "cpp")))
    assert languages_of(contents) == {"a.py": "python", "f.h": "cpp"}


def test_paths_of_an_upstream_archive_are_those_that_debian_speaks_of(tmp_path: Path) -> None:
    upstream = store(tmp_path, "a_1.orig.tar.gz", tarball({"a-1.0/src/a.c": "int a;\n"}))
    packaging = store(tmp_path, "a_1-1.debian.tar.xz", tarball({"debian/copyright": "Format: x\n"}, compression="xz"))
    contents = read_package(tmp_path, packaged(upstream, packaging))
    assert [str(source.path) for source in contents.sources] == ["src/a.c"]
    assert contents.metadata == {"debian/copyright": "Format: x\n"}


@pytest.mark.parametrize("name", FORMS)
def test_another_archive_than_the_pinned_one(tmp_path: Path, name: str) -> None:
    pinned = store(tmp_path, name, FORMS[name](MEMBERS))
    (tmp_path / name).write_bytes(FORMS[name]({"package/a.py": b"evil = 1\n"}))
    with pytest.raises(ValueError, match=rf"archives: .*{name} is not the pinned one"):
        read_package(tmp_path, packaged(pinned))


def test_a_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"archives: .*a\.whl is missing; `diffill corpus fetch`"):
        read_package(tmp_path, packaged(PinnedFile(file="a.whl", sha256="0" * 64)))


def overwritten(data: bytes) -> bytes:
    return data[:60] + bytes(byte ^ 0x55 for byte in data[60:90]) + data[90:]


@pytest.mark.parametrize(
    "damage",
    [lambda data: b"", lambda data: b"not an archive", lambda data: data[: len(data) // 2], overwritten],
    ids=["empty", "something else", "half", "overwritten"],
)
@pytest.mark.parametrize("name", FORMS)
def test_a_corrupt_archive_is_named(tmp_path: Path, name: str, damage) -> None:
    """Even where the sum in the manifest was taken of the corrupt file."""
    noise = {f"package/{n}.py": hashlib.sha256(bytes([n])).hexdigest() * 20 for n in range(20)}
    pinned = store(tmp_path, name, damage(FORMS[name](noise)))
    with pytest.raises(ValueError, match=rf"archives: .*{name} is not a readable archive") as caught:
        read_package(tmp_path, packaged(pinned))
    assert "\n" not in str(caught.value)


def git(*arguments: str, cwd: Path) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_pinned_commit(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git("init", "--quiet", cwd=work)
    commits = []
    for text in ("x = 1\n", "x = 2\n"):
        (work / "a.py").write_text(text)
        git("add", ".", cwd=work)
        git("commit", "--quiet", "-m", "a change", cwd=work)
        commits.append(git("rev-parse", "HEAD", cwd=work))
    package = Package(kind="git", name="owner/name", version=commits[0], licence="MIT")
    with pytest.raises(ValueError, match=r"archives: .*owner\+name\.git is missing"):
        read_package(tmp_path, package)
    git("clone", "--quiet", "--bare", str(work), str(git_directory(tmp_path, package)), cwd=tmp_path)
    assert [source.text for source in read_package(tmp_path, package).sources] == ["x = 1\n"]
    unknown = Package(kind="git", name="owner/name", version="0" * 40, licence="MIT")
    with pytest.raises(ValueError, match=r"archives: .*owner\+name\.git at 0000"):
        read_package(tmp_path, unknown)


def test_a_snapshot_may_lack_what_nobody_reads(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git("init", "--quiet", cwd=work)
    for name in ("deep/a.py", "b [1].ts", "deep/logo.png", "LICENSE", "pyproject.toml", "deep/pyproject.toml"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(f"# {name}\n")
    git("add", ".", cwd=work)
    git("commit", "--quiet", "-m", "a change", cwd=work)
    package = Package(kind="git", name="owner/name", version=git("rev-parse", "HEAD", cwd=work), licence="MIT")
    repository = git_directory(tmp_path, package)
    git("clone", "--quiet", "--bare", str(work), str(repository), cwd=tmp_path)

    def lose(name: str) -> None:
        blob = git("rev-parse", f"HEAD:{name}", cwd=repository)
        (repository / "objects" / blob[:2] / blob[2:]).unlink()

    lose("deep/logo.png")
    stated = {"LICENSE": "# LICENSE\n", "pyproject.toml": "# pyproject.toml\n"}
    contents = read_package(tmp_path, package)
    assert {str(source.path) for source in contents.sources} == {"deep/a.py", "b [1].ts"}
    assert contents.metadata == stated
    lose("deep/a.py")
    with pytest.raises(ValueError, match=r"archives: .*owner\+name\.git at .*invalid object"):
        read_package(tmp_path, package)
    assert read_metadata(tmp_path, package) == stated, "nothing else needs to be there"
