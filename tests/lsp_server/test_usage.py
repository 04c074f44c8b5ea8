"""Figures of what was offered and kept: watched through edits, written in a bounded file, summed up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffill.lsp_server import usage_log
from diffill.lsp_server.documents import Document, Documents, Edit
from diffill.lsp_server.events import Answered, Shown
from diffill.lsp_server.retention import CHECKPOINTS, Survivors
from diffill.lsp_server.usage import Usage
from diffill.lsp_server.usage_log import UsageLog, read_events
from diffill.lsp_server.usage_report import UsageReport, usage_report

URI = "file:///secret/place.py"


@given(st.data())
def test_survivors_are_the_characters_that_no_edit_touched(data: st.DataObject) -> None:
    # Every character carries who wrote it: the plain twin of the pieces.
    marks = list("....aaaaaa....")
    survivors = Survivors(start=4, length=6)
    for _ in range(data.draw(st.integers(0, 6))):
        start = data.draw(st.integers(0, len(marks)))
        end = data.draw(st.integers(start, len(marks)))
        text = "x" * data.draw(st.integers(0, 4))
        marks[start:end] = text
        survivors.edited(Edit(start=start, end=end, text=text))
        assert survivors.characters == marks.count("a")
        assert [marks[index] for piece in survivors.pieces for index in range(*piece)] == ["a"] * survivors.characters


class Clock:
    """Runs what is due when time is moved on."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self._due: list[tuple[float, Callable[[], None], asyncio.TimerHandle]] = []

    def later(self, seconds: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        loop = asyncio.new_event_loop()
        handle = asyncio.TimerHandle(0.0, work, (), loop)
        loop.close()
        self._due.append((self.time + seconds, work, handle))
        return handle

    def pass_seconds(self, seconds: float) -> None:
        self.time += seconds
        for due, work, handle in sorted(self._due, key=lambda entry: entry[0]):
            if due <= self.time and not handle.cancelled():
                work()
        self._due = [entry for entry in self._due if entry[0] > self.time]


class Desk:
    """One document, its figures and a clock."""

    def __init__(self, file: Path) -> None:
        self.file, self.clock, self.documents = file, Clock(), Documents()
        self.usage = Usage(self.documents, UsageLog(file), later=self.clock.later, now=lambda: self.clock.time)
        self.document = Document(uri=URI, language="python", version=1, text="x = \ny = 1\n")
        self.documents.open(self.document)

    def show(self, text: str) -> Shown:
        shown = Shown(
            id="1",
            uri=URI,
            language="python",
            text=text,
            offset=4,
            revision=self.document.revision,
            kind="line",
            score=-0.1,
        )
        for source, items in (("decoded", (shown,)), ("cache", ())):
            self.usage.answered(
                Answered(uri=URI, language="python", items=items, source=source, seconds=0.02, invoked=False)  # type: ignore[arg-type]
            )
        return shown

    def accept(self, text: str) -> None:
        shown = self.show(text)
        self.documents.edit(self.document, Edit(start=4, end=4, text=text))
        self.usage.accepted(shown)

    def report(self) -> UsageReport:
        self.usage.flush()
        return usage_report(self.file, now=self.clock.time)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "state" / "usage.jsonl")


def test_what_is_kept_is_measured_at_every_checkpoint(desk: Desk) -> None:
    desk.accept("compute(1)")
    desk.clock.pass_seconds(20)
    desk.documents.edit(desk.document, Edit(start=12, end=13, text="22"))
    desk.clock.pass_seconds(20)
    report = desk.report()
    assert (report.requests, report.shown, report.accepted, report.accepted_characters) == (2, 1, 1, 10)
    assert (report.show_rate, report.quiet_rate, report.acceptance_rate) == (0.5, 0.5, 1.0)
    assert {after: kept.retained for after, kept in report.retained.items()} == {"15": 10, "30": 9}
    desk.clock.pass_seconds(1_000)
    assert {after: kept.share for after, kept in desk.report().retained.items()} == {
        "15": 1.0,
        **{str(after): 0.9 for after in CHECKPOINTS[1:]},
    }
    assert {source: (times.n, times.p50_ms) for source, times in report.latency.items()} == {
        "decoded": (1, 20.0),
        "cache": (1, 20.0),
    }


def test_a_closed_document_is_not_watched_on(desk: Desk) -> None:
    desk.accept("compute(1)")
    desk.documents.close(URI)
    desk.clock.pass_seconds(1_000)
    assert desk.report().retained == {}


def test_neither_text_nor_paths_are_written(desk: Desk) -> None:
    desk.accept("hidden_words(1)")
    desk.clock.pass_seconds(1_000)
    desk.usage.close()
    written = desk.file.read_text("utf-8")
    assert written and "hidden" not in written and "secret" not in written
    assert desk.file.stat().st_mode & 0o777 == 0o600


def test_switched_off_nothing_is_written(desk: Desk) -> None:
    desk.usage.switch(on=False)
    desk.accept("compute(1)")
    desk.clock.pass_seconds(1_000)
    desk.usage.close()
    assert not desk.file.exists()


def test_the_file_is_bounded_and_broken_lines_are_left_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_log, "MAX_BYTES", 2_000)
    for _ in range(60):
        desk.show("x")
        desk.usage.flush()
    files = sorted(desk.file.parent.iterdir())
    assert len(files) == 2 and all(file.stat().st_size <= 2_000 for file in files)
    known = len(list(read_events(desk.file)))
    assert 0 < known < 120
    with desk.file.open("ab") as stream:
        stream.write(b'{"type":"answered"\n\xff\n{"type":"strange"}\n')
    assert len(list(read_events(desk.file))) == known


def test_a_disk_that_refuses_costs_figures_only(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be", "utf-8")
    desk = Desk(tmp_path / "state" / "usage.jsonl")
    desk.accept("compute(1)")
    desk.usage.close()
