"""Findings that a commit cleared: the pair holds the lines that cleared it, and the finding as its instruction."""

from __future__ import annotations

import collections
import random
from pathlib import Path

from diffill.training.edits import EditPair
from diffill.training.edits.change import CutConfig
from diffill.training.edits.cleared import cleared_pairs
from diffill.training.edits.history import History
from tests.training.edits.test_history import LONG_AGO
from tests.training.git_repository import BODIES, WorkTree, module


def mined(work: WorkTree) -> list[EditPair]:
    history = History(work.directory, "HEAD", name="team")
    commits = history.commits(LONG_AGO)
    return list(cleared_pairs(history, commits, CutConfig(), collections.Counter(), random.Random(0)))


def test_what_a_commit_cleared(tmp_path: Path) -> None:
    work = WorkTree(tmp_path / "work")
    wrong = module(*BODIES[:2], "return totel + first", "assert second == None", *BODIES[4:])
    work.commit("Start", {"pkg/a.py": wrong})
    renamed = wrong.replace("totel", "second").replace("- 5", "- 55")
    work.git("mv", "pkg/a.py", "pkg/b.py")
    commit = work.commit("Move it, and add what is meant", {"pkg/b.py": renamed})
    work.commit("Compare by identity", {"pkg/b.py": renamed.replace("== None", "is None")})
    identity, name = mined(work)
    assert name.instruction == "F821 Undefined name `totel`"
    assert (name.kind, name.label, name.source) == ("cleared", "F821", f"team@{commit[:12]}:pkg/b.py")
    assert "return totel + first" in name.before
    assert name.after == name.before.replace("totel", "second"), "the other change of the commit is made already"
    assert identity.label == "E711"
    assert identity.after == identity.before.replace("== None", "is None")


def test_what_only_half_of_a_commit_would_have_is_not_learned(tmp_path: Path) -> None:
    """With its first change alone taken back, the second would use a name that is not there: nobody ever saw that."""
    work = WorkTree(tmp_path / "work")
    work.commit("Start", {"pkg/a.py": module(*BODIES)})
    changed = module(*BODIES).replace('"""\n\n', '"""\n\nOFFSET = 4\n\n', 1).replace("- 4", "- OFFSET")
    work.commit("Give the offset a name", {"pkg/a.py": changed})
    assert mined(work) == []
