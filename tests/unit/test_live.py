"""`status --watch`: in place on a terminal, in lines elsewhere, at little cost."""

from __future__ import annotations

import re
import time
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from rich.console import Console

from hpcsweep.cli import live
from hpcsweep.cli.live import REST_MAX_S, live_summary, rest_s
from hpcsweep.records import Status
from hpcsweep.state.failures import FailureGroup
from hpcsweep.state.summary import Summary

SHOW_CURSOR, HIDE_CURSOR, CLEAR = "\x1b[?25h", "\x1b[?25l", "\x1b[2J"


def summary(complete: int, **more: Any) -> Summary:
    """A sweep of ten cases that goes on."""
    counts = {Status.COMPLETE: complete, Status.RUNNING: 10 - complete}
    fields: dict[str, Any] = {"reasons": {}, "tasks": {"RUNNING": 2}, "waiting": {}, "torn": {}}
    fields |= {"counts": counts, "asked_s_ago": 1.0, "problem": None} | more
    return Summary(
        name="s", path="/s", manifest="0" * 16, n_cases=10, unsubmitted=0, submissions=1, **fields
    )


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rests that were taken, none of which takes any time."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 80x24."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.setenv("TERM", "xterm")
    return Console(file=StringIO(), force_terminal=True, width=80, height=24, legacy_windows=False)


def written(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", text)


def test_each_summary_stands_in_place_of_the_one_before(
    console: Console, rests: list[float]
) -> None:
    with live_summary(console) as update:
        update(summary(3))
        first = written(console)
        update(summary(4))
        second = written(console)[len(first) :]
    assert first.startswith(HIDE_CURSOR)
    assert "complete  3" in plain(first)
    assert "array tasks: 2 RUNNING, asked 1 s ago" in plain(first)
    assert "complete  4" in plain(second)
    lines = plain(first).count("\n")
    assert second.count("\x1b[1A") == lines  # up to the first line of the one before
    assert written(console).endswith("\x1b[2K")  # nothing is left
    assert written(console).count(SHOW_CURSOR) == 1
    assert len(rests) == 1


def test_an_interrupt_restores_the_cursor(console: Console) -> None:
    def interrupted() -> None:
        with live_summary(console) as update:
            update(summary(3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert written(console).endswith("\x1b[2K")
    assert SHOW_CURSOR in written(console)


def test_a_long_status_is_no_higher_than_the_terminal(console: Console) -> None:
    failed = [
        FailureGroup(
            reason="error",
            message="no " * 60,
            headline="no " * 60,
            count=9,
            index=1,
            params={},
            host="n",
        )
    ] * 20
    with live_summary(console) as update:
        update(summary(3, failures=tuple(failed)))
        shown = plain(written(console))
    assert shown.count("\n") < 24
    assert all(len(line) <= 80 for line in shown.splitlines())


@pytest.mark.usefixtures("rests")
def test_a_terminal_of_another_size_is_drawn_anew(console: Console) -> None:
    with live_summary(console) as update:
        update(summary(3))
        before = written(console)
        console.size = console.size._replace(width=60)
        update(summary(3))
        after = written(console)[len(before) :]
    assert CLEAR not in before
    assert CLEAR in after


def test_without_a_terminal_a_line_says_what_changed(
    rests: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with live_summary(Console(file=StringIO(), force_terminal=False)) as update:
        for complete in (3, 3, 4, 4):
            update(summary(complete))
    assert capsys.readouterr().err.splitlines() == [
        "7 running, 3 complete of 10",
        "6 running, 4 complete of 10",
    ]
    assert len(rests) == 3


def test_it_rests_until_its_processor_time_is_a_small_share() -> None:
    assert rest_s(0.015, 0.25) == pytest.approx(0.75)
    assert rest_s(0.02, 2.0) == 0.0
    assert rest_s(100.0, 1.0) == REST_MAX_S


def test_the_share_is_kept(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    clock, used, drawn = [0.0], [0.0], []

    def rest(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(time, "sleep", rest)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(live, "_used_s", lambda: used[0])
    with live_summary(console) as update:
        for _ in range(20):
            clock[0] += 0.06
            used[0] += 0.05
            update(summary(3))
            drawn.append((clock[0], used[0]))
    for (begin, before), (end, after) in pairwise(drawn):
        assert after - before <= 0.02 * (end - begin)


def test_nothing_waits_for_an_advance_or_the_end(rests: list[float], console: Console) -> None:
    with live_summary(console) as update:
        update(summary(3))
        update(summary(10, tasks={}))
        update(summary(10, tasks={}))
    assert rests == []
