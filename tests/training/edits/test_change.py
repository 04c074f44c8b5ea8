"""Changes and the pairs that are cut around them: putting `after` for `before` always gives the later file."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from diffill.training.edits.change import CutConfig, changes_between, cut, split_lines, widened
from diffill.training.edits.pair import EditPair
from diffill.training.syntax import parse

LINE = st.sampled_from(["a = 1\n", "b = 2\n", "\n", "    c()\n", "def f():\n", "    return 'é\x0c\u2028'\n", "d\n"])
FILE = st.lists(LINE, max_size=30)
WHOLE = CutConfig(region_lines=1000, region_characters=100_000, prefix_characters=100_000, suffix_characters=100_000)


@given(st.text(alphabet="ab\n\r\x0c\u2028é"))
def test_only_line_feeds_end_lines(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.count("\n") == line.endswith("\n") for line in lines)
    assert all(line.endswith("\n") for line in lines[:-1])


@given(FILE, FILE)
def test_all_changes_together_lead_back(before: list[str], after: list[str]) -> None:
    lines = list(after)
    for change in reversed(list(changes_between(before, after))):
        lines[change.start : change.end] = change.before
    assert lines == before


def pairs(before: list[str], after: list[str], config: CutConfig, seed: int) -> list[tuple[str, EditPair | None]]:
    """Of each change: the file before it, and its pair."""
    generator = random.Random(seed)
    tree = parse("".join(after).encode(), "python")
    return [
        (
            change.document_before(),
            cut(
                change,
                widened(change, config, generator, tree),
                config,
                instruction="",
                language="python",
                kind="commit",
                source="",
            ),
        )
        for change in changes_between(before, after)
    ]


@given(FILE, FILE, st.integers(0, 99))
def test_a_pair_is_the_two_files(before: list[str], after: list[str], seed: int) -> None:
    for document, pair in pairs(before, after, WHOLE, seed):
        if pair is not None:
            assert pair.prefix + pair.before + pair.suffix == document
            assert pair.prefix + pair.after + pair.suffix == "".join(after)
            assert pair.before.strip(), "there is something to revise"


@given(FILE, FILE, st.integers(0, 99))
def test_limits(before: list[str], after: list[str], seed: int) -> None:
    config = CutConfig(region_lines=4, region_characters=40, prefix_characters=30, suffix_characters=20)
    for document, pair in pairs(before, after, config, seed):
        if pair is not None:
            assert max(pair.before.count("\n"), pair.after.count("\n")) <= 4
            assert max(len(pair.before), len(pair.after)) <= 40
            assert len(pair.prefix) <= 30 and len(pair.suffix) <= 20
            assert pair.prefix + pair.before + pair.suffix in document
            assert pair.prefix + pair.after + pair.suffix in "".join(after)
            parts = (pair.prefix, pair.before, pair.after)
            assert all(not part or part.endswith("\n") for part in parts), "whole lines"


def test_regions_are_widened_to_syntax() -> None:
    after = split_lines("import a\n\n\ndef f(x):\n    if x:\n        return 1\n    return 2\n\n\ny = 3\n")
    before = [*after[:5], "        return 0\n", *after[6:]]
    regions = {pair.after for seed in range(60) for _, pair in pairs(before, after, WHOLE, seed) if pair is not None}
    assert "        return 1\n" in regions
    assert "    if x:\n        return 1\n" in regions
    assert "".join(after[3:7]) in regions, "the function"
