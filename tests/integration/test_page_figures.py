"""docs/how-to: every figure is what the command above it draws, and commands on a sweep run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.sources import grid
from hpcsweep.tables.points import NEEDED
from tests.support import figures
from tests.support.command_lines import typed_lines
from tests.support.sweeps import MadeSweep

# One of the parallel test processes makes the sweep, once.
pytestmark = pytest.mark.xdist_group("page_figures")
HOW_TO = Path(__file__).parents[2] / "docs/how-to"
# Lines of these pages about a sweep that is there; `view` serves until it is ended.
ON_A_SWEEP = [
    line.replace("SWEEP", "oscillator")
    for page in ("report.md", "pending.md")
    for line in typed_lines((HOW_TO / page).read_text())
    if not line.startswith("hpcsweep view")
]


@pytest.fixture(scope="module")
def outputs() -> Iterator[Path]:
    """The directory of the sweep `oscillator`, and of a small one."""
    with figures.in_a_project() as outputs:
        finer = MadeSweep(outputs, grid(omega=[0.5, 1.0], dt=[0.001]), name="finer")
        finer.plan()
        finer.handed_in()
        finer.run()
        yield outputs


def image(path: Path) -> Any:
    return import_module("PIL.Image").open(path)


def test_the_page_has_a_figure_of_each_kind() -> None:
    assert set(figures.examples()) == set((HOW_TO / "figures").iterdir())
    kinds = {
        found[1] if (found := re.search(r"--kind (\w+)", line)) else "line"
        for line in figures.examples().values()
    }
    assert kinds == set(NEEDED)


@pytest.mark.usefixtures("outputs")
@pytest.mark.parametrize("path", figures.examples(), ids=lambda path: path.stem)
def test_a_figure_is_drawn_by_its_command(path: Path) -> None:
    """Draw them again by `python -m tests.support.figures`."""
    line = figures.examples()[path]
    shown, drawn = image(path), image(figures.draw(line))
    for one in (shown, drawn):
        about = re.fullmatch(r"manifest [0-9a-f]{16}; (.*)", one.text["Description"])
        assert about
        assert shlex.split(about[1]) == shlex.split(line)
    # Another version of matplotlib sets letters elsewhere.
    if shown.text["Software"] == drawn.text["Software"]:
        assert shown.tobytes() == drawn.tobytes()


@pytest.mark.usefixtures("outputs")
@pytest.mark.parametrize("line", ON_A_SWEEP)
def test_a_command_on_a_sweep_runs(line: str) -> None:
    assert figures.call(line)
