"""From archives to a corpus: every file is kept or counted, a run resumes, bad input leaves what was there."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from diffill.cli.corpus import corpus
from diffill.training.corpus import read_documents
from diffill.training.corpus.benchmarks import WINDOW, words_of
from diffill.training.corpus.documents import read_index
from diffill.training.corpus.manifest import Package
from diffill.training.corpus.tokens import read_tokens
from tests.tiny import tiny_tokenizer
from tests.training.corpus.small_archives import MIT, module, python_package, store, tarball, write_config

FILES = {
    "kept/a.py": "# Copyright 2020 Someone\n" + module("alpha"),
    "kept/b.py": module("beta"),
    "kept/copy.py": module("beta").replace("\n\n\n", "\n\n"),
    "kept/near.py": module("beta", 40).replace("beta_7", "renamed"),
    "kept/tests/c.py": module("gamma"),
    "kept/_vendor/d.py": module("delta"),
    "kept/e.py": "import kopf\n" + module("epsilon"),
    "kept/f.py": module("zeta") + f'KEY = "{"AKIA" + "IOSFODNN7EXAMPLE"}"\n',
    "kept/g.py": module("eta") + "def broken(:\n",
    "kept/h.py": module("theta"),
    "kept/i.py": "# SPDX-License-Identifier: GPL-2.0-only\n" + module("iota"),
    # Nothing is left of it once the licence is stripped.
    "kept/j.py": "# Copyright 2020 Someone\n" + "# All rights are reserved by someone.\n" * 10,
    "kept/lib.py": module("beta", 40),
}
REASONS = {
    *("duplicate", "near duplicate", "tests", "vendored", "imports a held-out package", "secret", "does not parse"),
    *("benchmark text", "licence", "size"),
}
DEBIAN = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Someone
License: Expat

Files: gpl.sh
Copyright: 2020 Other
License: GPL-2+
"""


def shell(name: str) -> str:
    return "".join(f"{name}_{n}() {{\n  echo {name} $1 and {name}\n}}\n\n" for n in range(12))


def debian_package(archives: Path) -> Package:
    upstream = tarball({"tool-1/free.sh": shell("alpha"), "tool-1/gpl.sh": shell("beta"), "tool-1/LICENSE": MIT})
    files = (
        store(archives, "tool_1.orig.tar.gz", upstream),
        store(archives, "tool_1-1.debian.tar.xz", tarball({"debian/copyright": DEBIAN}, compression="xz")),
    )
    return Package(kind="debian", name="tool", version="1-1", licence="MIT", files=files, languages=("shell",))


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration over three packages: one with every kind of file, Debian's, and one that is held out."""
    archives = tmp_path / "archives"
    packages = [
        python_package(archives, "kept", FILES),
        python_package(archives, "kopf", {"kopf/a.py": module("kappa")}),
        debian_package(archives),
    ]
    keys = b"".join(
        hashlib.blake2b(b" ".join(words[at : at + WINDOW]), digest_size=8).digest()
        for words in [words_of(module("theta"))]
        for at in range(len(words) - WINDOW + 1)
    )
    (tmp_path / "windows.gz").write_bytes(gzip.compress(keys))
    (tmp_path / "tokenizer").mkdir()
    tiny_tokenizer().save(tmp_path / "tokenizer")

    def write(*more: Package, **changes: Any) -> Path:
        settings = {
            "benchmark_windows": str(tmp_path / "windows.gz"),
            "tokenizer": str(tmp_path / "tokenizer"),
            "gate": {"test_share": 0},
        }
        return write_config(tmp_path, [*packages, *more], **settings | changes)

    return write


def run(path: Path, *options: str) -> Result:
    return CliRunner().invoke(corpus, ["build", "--config", str(path), *options])


def kept(directory: Path) -> set[tuple[str, str]]:
    return {(document.package, document.path) for document in read_documents(directory)}


def test_archives_become_a_corpus(config: Callable[..., Path], tmp_path: Path) -> None:
    result = run(config(), "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    out = tmp_path / "corpus"
    assert kept(out) == {
        *(("kept 1.0", f"kept/{name}.py") for name in ("a", "b", "lib")),
        ("tool 1-1", "free.sh"),
    }
    assert set(report["refused_by_reason"]) == REASONS
    assert sum(report["refused_by_reason"].values()) == len(FILES) - 3 + 1, "every file is kept or counted"
    assert report["refused"]["shell"] == {"licence": {"documents": 1, "characters": len(shell("beta"))}}
    assert report["refused_packages"] == [{"package": "kopf 1.0", "reason": "held out"}]
    assert {name: tally["documents"] for name, tally in report["languages"].items()} == {"python": 3, "shell": 1}
    assert report["licences"]["MIT"] == report["kept"]
    assert json.loads((out / "report.json").read_text()) == report

    documents = list(read_documents(out))
    assert not [document for document in documents if "Copyright" in document.text]
    tokenizer = tiny_tokenizer()
    (tokens,) = read_tokens(out)
    texts = [
        tokenizer.decode(tokens.tokens[start:end].tolist())
        for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False)
    ]
    assert texts == [document.text for document in documents]
    assert sum(report["tokens"].values()) == len(tokens.tokens)


def test_a_licence_that_the_package_does_not_state(config: Callable[..., Path], tmp_path: Path) -> None:
    package = python_package(tmp_path / "archives", "other", {"other/a.py": module("mu")})
    result = run(config(msgspec.structs.replace(package, licence="Apache-2.0")), "--json")
    assert result.exit_code == 0, result.stderr
    reason = "its own files say 'MIT', the manifest says 'Apache-2.0'"
    assert {"package": "other 1.0", "reason": reason} in json.loads(result.stdout)["refused_packages"]
    assert "other 1.0" not in {name for name, _ in kept(tmp_path / "corpus")}


def test_a_second_run_makes_nothing_anew(config: Callable[..., Path], tmp_path: Path) -> None:
    assert run(config()).exit_code == 0
    made = [*(tmp_path / "corpus").rglob("*.zst"), *(tmp_path / "corpus").glob("*.safetensors")]
    files = {path: path.stat().st_mtime_ns for path in made}
    report = (tmp_path / "corpus" / "report.json").read_bytes()
    (tmp_path / "archives" / "kept-1.0-py3-none-any.whl").unlink()
    assert run(config()).exit_code == 0, "candidates are kept, so the archive is not read again"
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert (tmp_path / "corpus" / "report.json").read_bytes() == report


def test_a_corpus_grows(config: Callable[..., Path], tmp_path: Path) -> None:
    assert run(config()).exit_code == 0
    before = read_index(tmp_path / "corpus").documents
    more = python_package(tmp_path / "archives", "more", {"more/a.py": module("lambda_")})
    assert run(config(more, processes=2)).exit_code == 0
    assert ("more 1.0", "more/a.py") in kept(tmp_path / "corpus")
    assert not (tmp_path / "corpus" / before[0].file).exists(), "what the index no longer names is deleted"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"gate": {"colour": 1}}, "colour"),
        ({"gate": {"test_share": 1}}, "test_share must be"),
        ({"gate": {"licences": ["ISC"]}}, "licence 'MIT' is not on the list"),
        ({"manifests": ["nowhere.json"]}, "manifest: cannot read nowhere.json"),
        ({"archives": "nowhere", "gate": {}}, "is missing; `diffill corpus fetch` downloads it"),
        ({"benchmark_windows": "nowhere.gz"}, "cannot read nowhere.gz"),
        ({"tokenizer": "nowhere"}, "nowhere"),
        ({"gate": {"package_cap": 1}}, "yield no document"),
    ],
)
def test_bad_input_is_one_line_and_loses_nothing(
    config: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert run(config()).exit_code == 0
    before = kept(tmp_path / "corpus")
    for path in (tmp_path / "corpus").glob("tokens-*"):
        path.unlink()  # so that a tokenizer is asked for
    result = run(config(**changes))
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]
    assert kept(tmp_path / "corpus") == before


def test_an_unreadable_archive_is_named_and_the_others_are_done(config: Callable[..., Path], tmp_path: Path) -> None:
    pinned = store(tmp_path / "archives", "zzz-1.0-py3-none-any.whl", b"nothing")
    bad = Package(kind="pypi", name="zzz", version="1.0", licence="MIT", files=(pinned,))
    result = run(config(bad))
    assert result.exit_code == 2
    assert "zzz-1.0-py3-none-any.whl is not a readable archive" in result.stderr.strip().splitlines()[-1]
    assert len(list((tmp_path / "corpus" / "candidates").glob("*.zst"))) == 3, "those before it are kept"


def test_a_cap_and_a_share_of_tests(config: Callable[..., Path], tmp_path: Path) -> None:
    size = len(module("beta"))
    assert run(config(gate={"test_share": 0.5, "package_cap": 3 * size})).exit_code == 0
    sizes = [len(document.text) for document in read_documents(tmp_path / "corpus") if document.package == "kept 1.0"]
    assert 0 < sum(sizes) <= 3 * size
    assert run(config(gate={"test_share": 0.5})).exit_code == 0
    assert ("kept 1.0", "kept/tests/c.py") in kept(tmp_path / "corpus")
