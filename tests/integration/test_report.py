"""`report`: one HTML file, in a real browser: what it shows, and that it loads nothing."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.errors import StoreError
from hpcsweep.report.document import VENDOR
from hpcsweep.sources import grid, manual
from tests.support import report_pictures
from tests.support.browser import Browser, browser
from tests.support.fixtures import require_browser
from tests.support.hostile_pages import EVIL, EVIL_PYTHON, FOREIGN
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

PYTHON = """
def run(omega, dt, method):
    if method == "rk4" and dt == 0.1:
        raise ArithmeticError(f"diverges at step {omega}")
    return {"energy": omega ** 2 + dt, "steps": int(1 / dt)}
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    require_browser()
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """Four omegas, three dts, two methods; a sixth of the cases fails."""
    source = grid(omega=[1.0, 2.0, 3.0, 4.0], dt=[0.1, 0.01, 0.001], method=["euler", "rk4"])
    made = MadeSweep(tmp_path_factory.mktemp("report"), source, python=PYTHON)
    made.plan(chunk_size=24)
    made.handed_in()
    made.run()
    return made


def report_of(made: MadeSweep) -> Path:
    done = CliRunner().invoke(main, ["report", str(made.path)])
    assert done.exit_code == 0, done.output
    return made.path / "report.html"


def test_a_report_shows_the_counts_of_status_and_its_figures_and_loads_nothing(
    made: MadeSweep, page: Browser
) -> None:
    path = report_of(made)
    assert path.stat().st_mode & 0o777 == 0o600
    counts = json.loads(CliRunner().invoke(main, ["status", str(made.path), "--json"]).output)
    page.open(path)
    shown = page.run(
        "return [...document.querySelectorAll('[data-status]')]"
        ".map((one) => [one.dataset.status, Number(one.textContent)])"
    )
    assert dict(shown) == {name: count for name, count in counts["counts"].items() if count}
    assert "diverges at step" in page.text()
    page.go("results")
    # A mean for each omega and dt, and the line through those of one dt.
    assert page.figures() == {"energy over omega": 12 + 12}
    assert "Averaged over method: 1 to 2 cases a point." in page.text()
    assert page.problems() == []


def listed(page: Browser) -> str:
    return str(page.run("return document.querySelector('.cases')?.innerText ?? ''"))


def test_figures_are_chosen_and_brushing_selects_cases_with_their_run_directories(
    made: MadeSweep, page: Browser
) -> None:
    page.open(report_of(made), "results")
    page.figures()
    assert "All 20 complete cases" in listed(page)
    # The two largest omegas, of all that is drawn.
    page.drag(".canvas canvas", (0.5, 0.05), (0.97, 0.75))
    wait_until(lambda: "selected cases" in listed(page), 60, "the selection")
    chosen = listed(page)
    assert "10 selected cases" in chosen
    assert "hpcsweep collect s --cases 2-3,10-11,14-15,18-19,22-23" in chosen
    assert "runs/log_" in chosen
    assert "10 of 20 cases are selected" in page.text()
    page.choose("Figure", "Heat map")
    assert page.figures() == {"energy over omega and dt": 12}
    assert "Averaged over method: 1 to 2 cases a cell." in page.text()
    page.choose("Figure", "Every case")
    page.choose("facet", "method")
    wait_until(lambda: page.figures() == {"energy over omega": 20}, 60, "a point for each case")
    # The keys of the first axis, dt, take its lower part.
    page.run(
        "const button = document.querySelector('.axes button');"
        "button.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowUp'}));"
    )
    wait_until(lambda: "selected cases" in listed(page), 60, "the selection of an axis")
    assert page.problems() == []


def test_fields_select_by_keyboard_what_a_brush_selects_by_pointer(
    made: MadeSweep, page: Browser
) -> None:
    page.open(report_of(made), "results")
    page.figures()
    page.type("omega from", "3")
    wait_until(lambda: "10 selected cases" in listed(page), 60, "the selection")
    assert "hpcsweep collect s --cases 2-3,10-11,14-15,18-19,22-23" in listed(page)
    assert "10 of 20 cases are selected" in page.text()
    # The brush is there, too: from omega = 3 to the end, as high as the figure.
    brush = page.run("const [view] = report.views; return view.signal('brush')")
    assert brush["x"] == pytest.approx([3, 4])
    page.type("energy to", "9.05")
    wait_until(lambda: "4 selected cases" in listed(page), 60, "a smaller selection")
    # In panels, and of texts.
    page.choose("Figure", "Every case")
    page.choose("facet", "method")
    page.type("omega to", "1")
    wait_until(lambda: "5 selected cases" in listed(page), 60, "the selection in panels")
    page.choose("x", "method")
    page.choose("method from", "rk4")
    wait_until(lambda: "8 selected cases" in listed(page), 60, "one of the texts")
    # A page that is drawn anew selects again what was typed, and no longer what a brush replaced.
    page.run("document.querySelector('.cases').replaceChildren(); report.redraw()")
    wait_until(lambda: "8 selected cases" in listed(page), 60, "the same selection")
    page.drag(".canvas canvas", (0.05, 0.05), (0.6, 0.9))
    wait_until(lambda: "12 selected cases" in listed(page), 60, "the brush")
    page.run("document.querySelector('.cases').replaceChildren(); report.redraw()")
    wait_until(lambda: "All 20 complete cases" in listed(page), 60, "no selection")
    assert page.problems() == []


def test_an_axis_of_the_parallel_coordinates_has_fields_for_its_ends(
    made: MadeSweep, page: Browser
) -> None:
    page.open(report_of(made), "results")
    page.figures()
    axis = (
        "[...document.querySelectorAll('.axes button')].find((one) => one.textContent === 'omega')"
    )
    wait_until(lambda: page.run(f"{axis}?.focus(); return Boolean({axis})"), 60, "the axis")
    page.press("Enter", "\r")
    assert page.run("return document.activeElement.placeholder") == "1"
    page.command("Input.insertText", text="3")
    page.press("Enter", "\r")
    wait_until(lambda: "10 of 20 cases are selected" in page.text(), 60, "the selection")
    assert "hpcsweep collect s --cases 2-3,10-11,14-15,18-19,22-23" in listed(page)
    # Of two selections within one frame the lines show the last one.
    keys = f"{axis}.dispatchEvent(new KeyboardEvent('keydown', {{key}}))"
    page.run(f"for (const key of ['ArrowUp', 'Escape']) {keys}")
    wait_until(lambda: "All 20 cases." in page.text(), 60, "no selection")
    assert page.problems() == []


def test_of_very_many_points_an_even_sample_is_drawn_with_the_ends(
    made: MadeSweep, page: Browser
) -> None:
    page.open(report_of(made), "results")
    drawn, ends, text = page.run(
        "const points = Array.from({length: 20000}, (_, at) => ({x: (at * 7919) % 20000, y: at}));"
        "const {drawn, sampleText} = report.points.sample(points);"
        "const xs = drawn.map((one) => one.x);"
        "return [drawn.length, [Math.min(...xs), Math.max(...xs)], sampleText];"
    )
    assert 5000 <= drawn <= 5004
    assert ends == [0, 19999]
    assert "points are drawn, evenly spaced" in text


def test_all_pages_are_drawn_before_they_are_printed(
    made: MadeSweep, tmp_path: Path, page: Browser
) -> None:
    page.open(report_of(made), dark=True)
    page.run("window.print = () => { window.isReady = true; };")
    page.command("Input.dispatchKeyEvent", type="keyDown", key="p", modifiers=2)
    wait_until(lambda: page.run("return Boolean(window.isReady)"), 60, "all pages")
    # Light, whatever the browser prefers.
    assert page.run("return report.colour('ground')") == "#fff"
    shown = page.pdf(tmp_path / "all.pdf")
    for text in (
        *("Overview", "Results", "Sensitivity", "Resources", "Provenance", "diverges at step"),
        *("20 of 24 cases are complete.", "Parallel coordinates"),
        *("Averaged over method: 1 to 2 cases a point.", "Share of the variance of energy"),
        *("What ran where", "What to ask for", "target.py:run", "omega"),
    ):
        assert text in shown, shown
    for text in ("JavaScript", "not drawn", "Copy", "Save as", "Print all pages", "Drag"):
        assert text not in shown
    wait_until(lambda: page.run("return report.colour('ground')") != "#fff", 60, "the screen again")
    assert page.problems() == []


def test_pages_that_were_never_drawn_say_so_on_paper(
    made: MadeSweep, tmp_path: Path, page: Browser
) -> None:
    page.open(report_of(made))
    shown = page.pdf(tmp_path / "menu.pdf")
    assert "The figures of this page were not drawn." in shown
    assert "JavaScript" not in shown
    assert page.problems() == []


def test_hostile_names_values_and_messages_are_shown_as_text(tmp_path: Path, page: Browser) -> None:
    params = [{"n": n, EVIL: EVIL * (1 + n), "long": "z" * 10_000} for n in range(5)]
    made = MadeSweep(tmp_path, manual(params), python=EVIL_PYTHON)
    made.plan(chunk_size=5)
    made.handed_in()
    made.run()
    path = report_of(made)
    assert path.stat().st_size < 1 << 20
    page.open(path)
    title = page.run("return document.title")
    assert "<img src=x onerror" in page.text()
    page.go("results")
    page.figures()
    for option in ("Every case", "Heat map", "Means"):
        page.choose("Figure", option)
    wait_until(lambda: "Averaged over" in page.text() or "One case" in page.text(), 60, "means")
    shown = page.text()
    assert "<img src=x onerror" in shown
    assert "\\x1b]0;owned" in shown
    assert "\u202e" not in page.run("return document.documentElement.outerHTML")
    page.go("provenance")
    assert page.run(FOREIGN) == 0
    assert page.run("return document.title") == title
    assert page.problems() == []


def test_a_page_says_so_where_there_is_nothing_to_show(tmp_path: Path, page: Browser) -> None:
    pages = {
        "def run(n): raise ValueError(n)": "No case is complete yet",
        "def run(n): return {'word': 'yes' * n}": "No metric is a number",
        "def run(n): return {'y': float('nan') if n else float('inf')}": "which no figure shows",
        "def run(n): return {'y': 1.0}": "2 of 2 cases are complete",
    }
    for number, (python, sentence) in enumerate(pages.items()):
        root = tmp_path / str(number)
        root.mkdir()
        made = MadeSweep(root, grid(n=[0, 1]), python=python)
        made.plan()
        made.handed_in()
        made.run()
        page.open(report_of(made), "results")
        wait_until(lambda sentence=sentence: sentence in page.text(), 60, sentence)  # type: ignore[misc]
        assert page.problems() == []


def test_one_case_and_forty_params(tmp_path: Path, page: Browser) -> None:
    source = manual([{f"p{number}": number for number in range(40)}])
    made = MadeSweep(tmp_path, source, python="def run(**params): return {'y': 1}")
    made.plan()
    made.handed_in()
    page.open(report_of(made), "results")
    wait_until(lambda: "No case is complete yet" in page.text(), 60, "nothing yet")
    made.run()
    page.open(report_of(made), "results")
    assert list(page.figures().values()) == [1]
    assert page.problems() == []


def test_a_damaged_index_gives_a_page_that_says_so(
    made: MadeSweep, tmp_path: Path, page: Browser
) -> None:
    copy = made.copy(tmp_path)
    report_of(copy)
    (copy.path / "store.sqlite3").write_bytes(b"no database" * 500)
    done = CliRunner().invoke(main, ["report", str(copy.path)])
    assert done.exit_code == StoreError.exit_code
    page.open(copy.path / "report.html")
    assert "hpcsweep ingest SWEEP --rebuild" in page.text()
    assert page.problems() == []


def test_a_report_goes_into_a_redirected_standard_output(made: MadeSweep, tmp_path: Path) -> None:
    # As root a rename onto /dev/stdout would take it from everybody; onto this path none succeeds.
    file = tmp_path / "redirected.html"
    argv = [sys.executable, "-m", "hpcsweep", "report", str(made.path), "-o", "/proc/self/fd/1"]
    with file.open("wb") as stream:
        subprocess.run(argv, stdout=stream, check=True)
    data = file.read_bytes()
    assert data.startswith(b"<!doctype html>")
    assert data.rstrip().endswith(b"</html>")


def test_the_file_of_a_figure_is_named_on_standard_error(made: MadeSweep, tmp_path: Path) -> None:
    call = ["plot", str(made.path), "--x", "omega", "--y", "energy", "--output"]
    done = CliRunner().invoke(main, [*call, str(tmp_path / "a.svg")])
    assert done.stdout == ""
    assert f"written: {tmp_path / 'a.svg'}" in done.stderr


def test_without_javascript_the_overview_and_the_provenance_are_there(
    made: MadeSweep, page: Browser
) -> None:
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(report_of(made), "provenance")
        tree = page.command("Accessibility.getFullAXTree")["nodes"]
    finally:
        page.command("Emulation.setScriptExecutionDisabled", value=False)
    texts = {str(node.get("name", {}).get("value", "")).strip() for node in tree}
    assert {"20", "24", "cases are complete.", "target.py:run"} <= texts
    assert "The figures of this page need JavaScript." in texts


def test_the_pictures_of_the_docs_are_of_this_report(tmp_path: Path, page: Browser) -> None:
    report_pictures.take(report_pictures.oscillator(tmp_path), page, tmp_path)
    text = (report_pictures.PICTURES.parent / "report.md").read_text()
    for name, (_, width, _) in report_pictures.VIEWS.items():
        kept = (report_pictures.PICTURES / name).read_bytes()
        # The width in the header of a PNG.
        assert struct.unpack(">I", kept[16:20])[0] == width
        assert (tmp_path / name).read_bytes()[16:20] == kept[16:20]
        assert f"(report/{name})" in text
    averaged = "Averaged over replicate, method: 3 to 6 cases a point."
    assert averaged in text
    assert averaged in page.text()


def test_the_vendored_files_are_those_that_were_published() -> None:
    lines = re.findall(r"`(\S+\.js)` .*`([0-9a-f]{64})`", (VENDOR / "README.md").read_text())
    assert {name for name, _ in lines} == {path.name for path in VENDOR.glob("*.js")}
    for name, digest in lines:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
