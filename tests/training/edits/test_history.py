"""Histories: what people changed comes out line for line, and what nobody wrote by hand does not."""

from __future__ import annotations

import collections
import datetime
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffill.training.corpus.archives import git_directory
from diffill.training.corpus.manifest import Package
from diffill.training.edits.history import CommittedFile, clean_subject, pinned_history
from diffill.training.edits.options import EditOptions
from diffill.training.edits.real_changes import commit_pairs
from tests.training.git_repository import BODIES, WorkTree, import_versions, module

LONG_AGO = datetime.date(2000, 1, 1)


def committed(archives: Path, package: Package) -> tuple[list[CommittedFile], collections.Counter[str]]:
    history = pinned_history(archives, package)
    refusals: collections.Counter[str] = collections.Counter()
    return [file for commit in history.commits(LONG_AGO) for file in history.files(commit, refusals)], refusals


@pytest.fixture
def work(tmp_path: Path) -> WorkTree:
    tree = WorkTree(tmp_path / "work")
    tree.commit("Start", {"pkg/a.py": module(*BODIES), "notes.txt": "one\n"})
    return tree


LINES = st.lists(st.sampled_from(["a = 1\n", "b = 2\n", "\n", "def f():\n", "    pass\n", "'é\x0c'\n"]), max_size=25)


@settings(max_examples=20, deadline=None)
@given(versions=st.lists(LINES, min_size=2, max_size=5, unique_by=tuple))
def test_changes_lead_from_each_commit_to_the_next(
    tmp_path_factory: pytest.TempPathFactory, versions: list[list[str]]
) -> None:
    archives = tmp_path_factory.mktemp("history")
    files, _ = committed(archives, import_versions(archives, ["".join(lines) for lines in versions]))
    found = {file.text: file for file in files}
    for before, after in itertools.pairwise(versions):
        lines = list(after)
        for change in reversed(found["".join(after)].changes):
            lines[change.start : change.end] = change.before
        assert lines == before


def test_subject_path_and_language(work: WorkTree, tmp_path: Path) -> None:
    changed = module(*BODIES[:2], "return first // second", *BODIES[3:])
    commit = work.commit("Divide the third (#123)", {"pkg/a.py": changed, "notes.txt": "two\n", "new.py": module("x")})
    files, refusals = committed(tmp_path / "archives", work.publish(tmp_path / "archives", "owner/name"))
    (file,) = files
    assert (file.commit, file.subject, str(file.path), file.language) == (
        commit,
        "Divide the third",
        "pkg/a.py",
        "python",
    )
    assert file.text == changed
    (change,) = file.changes
    assert change.before == ("    total = first * 2 + second\n", "    return total - 2\n")
    assert change.lines[change.start : change.end] == ["    return first // second\n"]
    assert not refusals


def test_renamed_files_are_followed(work: WorkTree, tmp_path: Path) -> None:
    work.git("mv", "pkg/a.py", "pkg/b.py")
    work.commit("Move it over there", {"pkg/b.py": module(*BODIES).replace("total - 3", "total + 3")})
    (file,), _ = committed(tmp_path / "archives", work.publish(tmp_path / "archives", "owner/name"))
    assert str(file.path) == "pkg/b.py"
    assert [change.before for change in file.changes] == [("    return total - 3\n",)]


@pytest.mark.parametrize(
    ("subject", "author", "reason"),
    [
        ("Fix the total", "dependabot[bot] <bot@example.org>", "commit by a bot"),
        ("Fix the total", "Someone <pre-commit-ci@example.org>", "commit by a bot"),
        ("Bump version", "A Person <person@example.org>", "release, formatting or revert"),
        ('Revert "Fix the total"', "A Person <person@example.org>", "release, formatting or revert"),
        ("Reformat with black", "A Person <person@example.org>", "release, formatting or revert"),
        ("Fix the total", "Abbot <abbot@example.org>", None),
    ],
)
def test_commits_that_nobody_wrote(
    work: WorkTree, tmp_path: Path, subject: str, author: str, reason: str | None
) -> None:
    work.commit(subject, {"pkg/a.py": module(*BODIES).replace("total - 3", "total + 3")}, author)
    files, refusals = committed(tmp_path / "archives", work.publish(tmp_path / "archives", "owner/name"))
    assert len(files) == (reason is None)
    assert dict(refusals) == ({} if reason is None else {reason: 1})


def test_merges_sweeps_and_odd_bytes_are_left_out(work: WorkTree, tmp_path: Path) -> None:
    work.git("checkout", "--quiet", "-b", "side")
    work.commit("On the side", {"pkg/a.py": module(*BODIES).replace("total - 3", "total + 3")})
    work.git("checkout", "--quiet", "main")
    work.commit("On the main line", {"pkg/a.py": module(*BODIES).replace("total - 5", "total + 5")})
    work.git("merge", "--quiet", "--no-edit", "side")
    work.commit("Many at once", {f"pkg/n{n}.py": module("return 1") for n in range(30)} | {"pkg/a.py": "x = 1\n"})
    work.commit("Odd bytes and ends", {"pkg/n1.py": b"x = '\xff'\n", "pkg/n2.py": b"x = 1\r\ny = 2\r\n"})
    files, refusals = committed(tmp_path / "archives", work.publish(tmp_path / "archives", "owner/name"))
    assert sorted(file.subject for file in files) == ["On the main line", "On the side"]
    assert refusals == {"commit of many files": 1, "not plain text": 2}


def test_only_changes_worth_learning_become_pairs(work: WorkTree, tmp_path: Path) -> None:
    text = module(*BODIES)
    for subject, old, new in (
        ("Only quotes and spaces", "first * 1 + second", "(first*1) + second"),
        ("Only a comment more", "    total = first * 2", "    # twice\n    total = first * 2"),
        ("Add where it takes away", "total - 3", "total + 3"),
    ):
        assert old in text
        text = text.replace(old, new)
        work.commit(subject, {"pkg/a.py": text, "tests/test_a.py": text})
    history = pinned_history(tmp_path / "archives", work.publish(tmp_path / "archives", "owner/name"))
    refusals: collections.Counter[str] = collections.Counter()
    options = EditOptions(no_op_share=0, empty_instruction=0)
    pairs = list(commit_pairs(history, history.commits(LONG_AGO), options, refusals, random.Random(0)))
    (pair,) = pairs
    assert (pair.kind, pair.instruction) == ("commit", "Add where it takes away")
    assert pair.after == pair.before.replace("total - 3", "total + 3")
    assert pair.source == f"owner/name@{history.commits(LONG_AGO)[0][:12]}:pkg/a.py"
    assert refusals == {"change: formatting only": 1, "change: comments only": 2, "file: tests": 1}


def test_commits_before_the_date_are_not_read(work: WorkTree, tmp_path: Path) -> None:
    work.commit("Another version of it", {"pkg/a.py": "x = 1\n"})
    history = pinned_history(tmp_path / "archives", work.publish(tmp_path / "archives", "owner/name"))
    assert len(history.commits(LONG_AGO)) == 1
    assert history.commits(datetime.date(2100, 1, 1)) == []


def test_a_clone_that_lacks_objects(work: WorkTree, tmp_path: Path) -> None:
    for sign in "+*/":
        work.commit(f"Another sign, {sign}", {"pkg/a.py": module(*BODIES).replace("total - 3", f"total {sign} 3")})
    package = work.publish(tmp_path / "archives", "owner/name")
    git = git_directory(tmp_path / "archives", package)
    lost = work.git("rev-parse", "HEAD~1:pkg/a.py")
    (git / "objects" / lost[:2] / lost[2:]).unlink()
    files, refusals = committed(tmp_path / "archives", package)
    assert [file.subject for file in files] == ["Another sign, +"]
    assert refusals == {"objects missing in the clone": 2}


@pytest.mark.parametrize(("name", "version"), [("owner/other", None), ("owner/name", "0" * 40), ("owner/name", "x")])
def test_a_history_that_is_not_there(work: WorkTree, tmp_path: Path, name: str, version: str | None) -> None:
    package = work.publish(tmp_path / "archives", "owner/name")
    missing = Package(kind="git", name=name, version=version or package.version, licence="MIT")
    with pytest.raises(ValueError, match=r"archives: .* does not hold commit") as caught:
        pinned_history(tmp_path / "archives", missing)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("subject", "cleaned"),
    [
        ("Fix the total (#12)", "Fix the total"),
        ("[ci skip] Fix the total #12", "Fix the total"),
        ("Fix  the\ttotal (fixes #9) (#12)", "Fix the total"),
        ("gh-12 Fix the total", "gh-12 Fix the total"),
        ("Fix", ""),
        ("word " * 40, ""),
    ],
)
def test_subjects(subject: str, cleaned: str) -> None:
    assert clean_subject(subject) == cleaned
