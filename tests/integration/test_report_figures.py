"""The pages Sensitivity, Run and Resources of a report, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.errors import InputError, SweepError
from hpcsweep.manifest.policies import Halving, Search
from hpcsweep.records import Resources
from hpcsweep.sources import grid
from tests.support.browser import Browser, browser
from tests.support.fixtures import require_browser
from tests.support.past_runs import SENT, PastRun, write_past
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

# The fields below a figure.
FIELDS = "[...document.querySelectorAll('.controls input')]"
HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    require_browser()
    with browser() as one:
        yield one


def report_of(root: Path, *runs: PastRun, **fields: Any) -> Path:
    """The report of a grid of 24 cases that ran like this."""
    source = grid(omega=[0.001, 0.1, 10.0], n=[1, 2, 3, 4], method=["euler", HOSTILE])
    options = {"mem": "8G", "time": "01:00:00"}
    made = MadeSweep(root, source, resources=Resources(options=options), **fields)
    made.plan(chunk_size=4)
    write_past(made, runs)
    done = CliRunner().invoke(main, ["report", str(made.path)])
    assert done.exit_code == 0, done.output
    return made.path / "report.html"


def test_figures_have_marks_and_nothing_is_said_on_the_console(
    tmp_path: Path, page: Browser
) -> None:
    runs = [
        PastRun(
            index=at,
            begin=10 * at,
            end=10 * at + 12,
            host=f"n{at % 3}{HOSTILE}",
            chunk=at // 4,
            reason="error" if at < 8 and at % 2 else None,
            error="diverges",
            metrics={HOSTILE: at % 5, "steps": at // 8},
        )
        for at in range(24)
    ]
    runs[0] = PastRun(index=0, begin=0, end=5, reason="node_fail")
    # Its clock was set back.
    runs[6] = PastRun(index=6, begin=70, end=52, metrics={HOSTILE: 1, "steps": 0})
    runs.append(PastRun(index=0, begin=9, end=30, restart=1, metrics={"steps": 0, HOSTILE: 1}))
    path = report_of(tmp_path, *runs)
    page.open(path, "sensitivity", width=800, dark=True)
    figures = page.figures(3)
    assert min(figures.values()) >= 6, figures
    assert "4 of 24 cases that ended failed: 16.7 %" in page.text()
    page.run("document.querySelector('select').value = 'steps'")
    page.run("document.querySelector('select').dispatchEvent(new Event('change'))")
    assert "Share of the variance of steps" in page.text()
    page.open(path, "run")
    figures = page.figures(2)
    assert figures["Which node ran which case when"] == 25
    assert "1 case had several attempts" in page.text()
    assert "1 case ended before the begin" in page.text()
    assert "node fail" in page.text()
    page.open(path, "resources", width=380)
    figures = page.figures(3)
    assert min(figures.values()) >= 2, figures
    assert "mem: " in page.text()
    assert page.run("return document.querySelectorAll('img').length") == 0
    assert page.problems() == []


def test_fields_zoom_in_time_by_keyboard_as_the_pointer_does(tmp_path: Path, page: Browser) -> None:
    runs = [PastRun(index=at, begin=10 * at, end=10 * at + 10.4) for at in range(24)]
    page.open(report_of(tmp_path, *runs), "run")
    page.figures(2)

    def fields() -> list[str]:
        return list(page.run(f"return {FIELDS}.map((one) => one.value)"))

    def shown() -> list[int]:
        """Seconds after the first begin: the ends of the axis."""
        script = "const [view] = report.views; return view.scale('x').domain().map(Number)"
        return [round(at / 1000 - SENT.timestamp()) for at in page.run(script)]

    def fill_in(place: int, text: str) -> None:
        page.run(f"{FIELDS}[{place}].value = '{text}'")
        page.run(f"{FIELDS}[{place}].dispatchEvent(new Event('change'))")

    whole = ["2026-11-20T12:00", "2026-11-20T12:04:01"]
    assert fields() == whole
    fill_in(0, "2026-11-20T12:01:00")
    wait_until(lambda: shown() == [60, 240], 60, "the time from")
    fill_in(1, "2026-11-20T12:02:00")
    wait_until(lambda: shown() == [60, 120], 60, "the time to")
    # No time at all, as between two digits.
    fill_in(1, "2026-11-20T12:00:30")
    assert shown() == [60, 120]
    fill_in(1, "2026-11-20T12:02:00")
    # A page that is drawn anew shows again what was typed, each time.
    redrawn = "const [view] = report.views; return Boolean(view) && view !== window.old"
    for _ in range(2):
        page.run("const [view] = report.views; window.old = view; report.redraw()")
        wait_until(lambda: page.run(redrawn) and shown() == [60, 120], 60, "the same times")
    # The pointer moves the ends.
    page.drag(".canvas canvas", (0.5, 0.5), (0.3, 0.5))
    wait_until(lambda: shown()[0] > 60 and fields()[0] > "2026-11-20T12:01:00", 60, "the drag")
    begin, end = (datetime.fromisoformat(f"{text}Z") for text in fields())
    seconds = [(moment - SENT).total_seconds() for moment in (begin, end)]
    assert seconds == pytest.approx(shown(), abs=1)
    page.run("document.querySelector('.controls button').focus()")
    page.press("Enter", "\r")
    wait_until(lambda: shown() == [0, 240] and fields() == whole, 60, "all times")
    assert page.problems() == []


def test_a_search_shows_each_trial_and_the_best_so_far(tmp_path: Path, page: Browser) -> None:
    values = [HOSTILE, 5, 7, 4, None, 6]
    runs = [
        PastRun(index=at, begin=at, end=at + 1, metrics={HOSTILE: value})
        for at, value in enumerate(values)
    ]
    halving = Halving(resource="n", smallest=1, largest=4, factor=2)
    search = Search(objective=HOSTILE, space={}, n=24, batch=6, halving=halving)
    page.open(report_of(tmp_path, *runs, policies={"search": search.to_json()}), "run")
    figures = page.figures(3)
    # A point for each of four values, and a line from the first of them to the last trial.
    assert figures[f"{HOSTILE} of each trial, and the best so far"] == 4 + 23
    assert "The line is the best value so far (minimize), of the largest n" in page.text()
    assert page.problems() == []


def test_pages_of_a_sweep_that_has_not_begun_say_so(tmp_path: Path, page: Browser) -> None:
    path = report_of(tmp_path)
    for name, text in (
        ("sensitivity", "No case is complete yet"),
        ("run", "No case has begun yet"),
        ("resources", "No attempt has ended yet"),
    ):
        page.open(path, name)
        assert text in page.text()
    assert page.problems() == []


def test_differences_of_two_submissions_and_of_two_sweeps(tmp_path: Path, page: Browser) -> None:
    made = MadeSweep(tmp_path, grid(n=[1, 2, 3, 4]))
    made.plan(chunk_size=4)
    made.plan(chunk_size=4, generation=1)
    first = [PastRun(index=at, begin=0, end=9, metrics={"m": at, HOSTILE: 1}) for at in range(4)]
    second = [
        PastRun(index=at, begin=20, end=29, submission=2, metrics={"m": at + at // 2, HOSTILE: 1})
        for at in range(3)
    ]
    write_past(made, [*first, *second])
    path = tmp_path / "d.html"
    call = ["report", "--diff", f"{made.path}@1", f"{made.path}@2", "--output", str(path)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    page.open(path)
    assert page.figures() == {"m in B over m in A": 2}
    shown = page.text()
    assert "3 cases are in both; 1 only in A, 0 only in B" in shown
    rows = page.run(
        "return [...document.querySelectorAll('.drawn tbody tr')]"
        ".map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert rows == [["2", "2", "2", "3", "1", "0.5"]]
    python = hs.Sweep(str(made.path))
    path = python.report(tmp_path / "p.html", diff=f"{made.path}@1")
    page.open(path)
    assert "3 cases are in both; 1 only in A, 0 only in B" in page.text()
    with pytest.raises(SweepError, match="has no submission 7"):
        python.report(tmp_path / "p.html", diff=f"{made.path}@1", submission=7)
    with pytest.raises(InputError, match="compared with another one"):
        python.report(tmp_path / "p.html", submission=1)
    # The index has the outcome that counts: with itself a sweep is compared by submissions alone.
    other = made.copy(tmp_path / "other")
    call = ["report", "--diff", str(made.path), str(other.path), "--output", str(path)]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 0, done.output
    page.open(path)
    assert "No metric has two values" in page.text()
    assert page.run("return document.querySelectorAll('img').length") == 0
    assert page.problems() == []
    done = CliRunner().invoke(main, ["report", "--diff", str(made.path), f"{made.path}@2"])
    assert done.exit_code == 3
    assert "Name submissions of both" in done.output
    done = CliRunner().invoke(main, ["report", "--diff", f"{made.path}@1", f"{made.path}@7"])
    assert "has no submission 7" in done.output
    assert "Its submissions: 1, 2." in done.output
