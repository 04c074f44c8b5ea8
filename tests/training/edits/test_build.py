"""Whole builds over a real history, two releases and a corpus of a few files."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from diffill.cli.edits import edits
from diffill.training.corpus.benchmarks import WINDOW, WORD
from diffill.training.corpus.documents import Document, ShardIndex, write_documents, write_index
from diffill.training.corpus.manifest import Package, PinnedFile, write_manifest
from diffill.training.edits import EditPair, read_pairs
from diffill.training.edits.build import BuildConfig, build
from diffill.training.edits.merge import PARTS
from diffill.training.edits.options import EditOptions
from diffill.training.edits.releases import Releases
from tests.training.corpus.small_archives import MIT
from tests.training.git_repository import BODIES, WorkTree, module

SECRET = "ghp_" + "a1" * 18


def wheel(archives: Path, version: str, text: str) -> Package:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("released/a.py", text)
        archive.writestr(f"released-{version}.dist-info/METADATA", "License-Expression: MIT\n")
    name = f"released-{version}-py3-none-any.whl"
    archives.mkdir(exist_ok=True)
    (archives / name).write_bytes(stream.getvalue())
    pinned = PinnedFile(file=name, sha256=hashlib.sha256(stream.getvalue()).hexdigest())
    return Package(kind="pypi", name="released", version=version, licence="MIT", files=(pinned,))


def document(name: str, package: str = "kept 1.0") -> Document:
    functions = "".join(
        f"def {name}_{n}(first, second=None):\n    if first is None:\n        return second\n"
        f"    total = len(first) + {n}\n    return max(total, second)\n\n\n"
        for n in range(12)
    )
    return Document(text=functions, language="python", path=f"{name}.py", package=package, licence="MIT")


@pytest.fixture
def config(tmp_path: Path) -> BuildConfig:
    archives, text = tmp_path / "archives", module(*BODIES)
    work = WorkTree(tmp_path / "work")
    work.commit("Start", {"pkg/a.py": text, "LICENSE": MIT})
    for subject, old, new in (
        ("Add where it takes away", "total - 3", "total + 3"),
        ("Multiply in the fifth", "first * 5 + second", "first * 5 * second"),
        ("A key that must not be here", "total - 1", f'total - "{SECRET}"'),
    ):
        text = text.replace(old, new)
        work.commit(subject, {"pkg/a.py": text})
    write_manifest(tmp_path / "histories.json", [work.publish(archives, "owner/name")])
    older = module(*BODIES)
    releases = Releases(older=wheel(archives, "1.0", older), newer=wheel(archives, "1.1", older.replace("- 4", "// 4")))
    (tmp_path / "releases.json").write_bytes(msgspec.json.encode([releases]))
    documents = [document("alpha"), document("beta"), document("gamma", "measured 2.0")]
    (tmp_path / "corpus").mkdir()
    write_index(tmp_path / "corpus", ShardIndex(documents=list(write_documents(tmp_path / "corpus", documents))))
    return BuildConfig(
        out=tmp_path / "pairs",
        archives=archives,
        histories=tmp_path / "histories.json",
        releases=tmp_path / "releases.json",
        corpus=tmp_path / "corpus",
        held_out=("measured",),
        pairs_per_history=20,
        pairs_per_shard=12,
        processes=1,
        options=EditOptions(characters_per_fault=150),
    )


def test_pairs_of_every_kind(config: BuildConfig) -> None:
    seen: list[tuple[int, int]] = []
    report = build(config, on_progress=lambda *progress: seen.append(progress))
    pairs = list(read_pairs(config.out))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert report.pairs == len(pairs) == sum(report.kinds.values())
    assert set(report.kinds) == {"commit", "release", "fault", "no-op"}
    assert json.loads((config.out / "report.json").read_bytes()) == msgspec.to_builtins(report)
    assert report.languages == {"python": len(pairs)}
    assert sum(report.faults.values()) == report.kinds["fault"] and len(report.faults) > 5
    assert report.refused["pair: secret"] >= 1

    of = {kind: [pair for pair in pairs if pair.kind == kind] for kind in report.kinds}
    assert {pair.before == pair.after for pair in of["no-op"]} == {True}
    assert not any(pair.before == pair.after for kind in ("commit", "release", "fault") for pair in of[kind])
    assert {pair.instruction for pair in of["commit"]} <= {"", "Add where it takes away", "Multiply in the fifth"}
    assert any("F821" in pair.instruction for pair in of["fault"])
    texts = [pair.prefix + pair.before + pair.after + pair.suffix for pair in pairs]
    assert not any(SECRET in text for text in texts)
    assert not any("gamma_" in text for text in texts), "held out"
    assert len({(pair.before, pair.after) for pair in pairs}) == len(pairs)
    assert len(list(config.out.glob("pairs-*.zst"))) > 1


def test_the_same_again_and_only_what_is_missing(config: BuildConfig, tmp_path: Path) -> None:
    report = build(config)
    pairs = list(read_pairs(config.out))
    other = msgspec.structs.replace(config, out=tmp_path / "other")
    assert build(other) == report
    assert list(read_pairs(other.out)) == pairs

    parts = {path: path.stat().st_mtime_ns for path in (config.out / PARTS).glob("*.zst")}
    lost, damaged, *_ = sorted(parts)
    lost.unlink()
    damaged.write_bytes(b"")
    assert build(config) == report
    assert list(read_pairs(config.out)) == pairs
    assert {path for path, time in parts.items() if path.stat().st_mtime_ns != time} == {lost, damaged}

    build(msgspec.structs.replace(config, options=EditOptions(characters_per_fault=150, seed=1)))
    assert list(read_pairs(config.out)) != pairs


def test_benchmark_text_stays_out(config: BuildConfig, tmp_path: Path) -> None:
    words = WORD.findall(document("beta").text)
    windows = (" ".join(words[at : at + WINDOW]).encode() for at in range(len(words) - WINDOW + 1))
    keys = sorted(hashlib.blake2b(window, digest_size=8).digest() for window in windows if b"beta_" in window)
    (tmp_path / "windows.gz").write_bytes(gzip.compress(b"".join(keys)))
    report = build(msgspec.structs.replace(config, benchmark_windows=tmp_path / "windows.gz"))
    pairs: list[EditPair] = list(read_pairs(config.out))
    assert report.refused["pair: benchmark text"] > 0
    assert not any("beta_" in pair.after for pair in pairs) and any("alpha_" in pair.after for pair in pairs)


def as_json(config: BuildConfig, **changes: Any) -> str:
    return json.dumps(msgspec.to_builtins(config, enc_hook=str) | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "colour"),
        ({"held_out": ["released"]}, "released is held out"),
        ({"held_out": ["name"]}, "owner/name is held out"),
        ({"archives": "nowhere"}, "archives: nowhere/owner+name.git is missing"),
        ({"histories": None, "releases": None, "corpus": None}, "yield no pair"),
        ({"corpus": "nowhere"}, "corpus: cannot read nowhere"),
    ],
)
def test_command_refuses_in_one_line(
    config: BuildConfig, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "edits.json"
    path.write_text(as_json(config, **changes))
    result = CliRunner().invoke(edits, ["--config", str(path)])
    assert result.exit_code == 2
    assert message in result.stderr.strip().splitlines()[-1]
    assert not (config.out / "pairs.json").exists()


@pytest.mark.parametrize(
    ("manifest", "stated", "message"),
    [
        ("Apache-2.0", {"LICENSE": MIT}, "its own files say 'MIT', the manifest says 'Apache-2.0'"),
        ("MIT", {"README": "Free.\n"}, "its own files do not say under which licence it is"),
        (
            "GPL-3.0-only",
            {"pyproject.toml": '[project]\nlicense = "GPL-3.0-only"\n'},
            "'GPL-3.0-only' is not on the list",
        ),
    ],
)
def test_a_licence_is_what_the_sources_say(
    config: BuildConfig, tmp_path: Path, manifest: str, stated: dict[str, str], message: str
) -> None:
    work = WorkTree(tmp_path / "other")
    work.commit("Start", {"a.py": "x = 1\n", **stated})
    typed = msgspec.structs.replace(work.publish(config.archives, "a/b"), licence=manifest)
    write_manifest(tmp_path / "histories.json", [typed])
    with pytest.raises(ValueError, match=rf"^edits: a/b \w+: .*{message}"):
        build(config)


def test_the_older_release_is_asked_too(config: BuildConfig, tmp_path: Path) -> None:
    newer = wheel(config.archives, "2.0", module(*BODIES))
    older = msgspec.structs.replace(wheel(config.archives, "1.9", module(*BODIES)), licence="ISC")
    (tmp_path / "releases.json").write_bytes(msgspec.json.encode([Releases(older=older, newer=newer)]))
    with pytest.raises(ValueError, match=r"released 1\.9: its own files say 'MIT', the manifest says 'ISC'"):
        build(config)
