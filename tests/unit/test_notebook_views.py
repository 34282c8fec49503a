"""What a notebook shows of records: short texts, and HTML in which no value is markup."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import hpcsweep as hs
from hpcsweep.html_table import bar_html
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state.status import status
from tests.support.sweeps import MadeSweep

EVIL = "</td><script>alert('1')</script><img src=x onerror=alert(1)>"


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    made = MadeSweep(tmp_path, grid(x=[EVIL, "plain"]))
    made.plan()
    made.handed_in()
    made.run()
    return made


def checked(page: str) -> str:
    """The HTML if it has no markup of a value."""
    assert "<script" not in page
    assert "<img" not in page
    return page


def test_a_plan_shows_its_first_case_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.py").write_text("def run(x): return {}\n")
    sweep = hs.Sweep("s", grid(x=[EVIL, "plain"]), target="t.py:run", root=tmp_path)
    planned = sweep.plan(notify=None)
    assert repr(planned) == "<Planned 's': 2 of 2 cases>"
    assert "&lt;script&gt;" in checked(planned._repr_html_())
    assert "t.py:run" in checked(sweep._repr_html_())


def test_a_summary_escapes_its_texts(made: MadeSweep) -> None:
    summary = status(made.directory, None, Settings())
    assert "2" in checked(summary._repr_html_())
    evil = replace(summary, name=EVIL, path=EVIL, reasons={EVIL: 1}, waiting={EVIL: 1})
    assert checked(evil._repr_html_()).count("&lt;script&gt;") >= 3
    assert "&lt;script&gt;" in checked(bar_html(1, 2, EVIL))


def test_what_was_submitted_is_short(made: MadeSweep) -> None:
    sweep = hs.Sweep(str(made.path))
    assert repr(sweep) == f"<Sweep 's' in {made.path}>"
    assert "<Summary of 's': 2 complete of 2>" in repr(sweep.status())
    assert repr(sweep.logs(0)).endswith(": complete>")
    assert "s: 0 cases submitted" in checked(
        hs.Submitted(sweep=made.directory, outlook=sweep.plan(notify=None).outlook)._repr_html_()
    )
