"""Make the pictures of docs/how-to/report.md: `python -m tests.support.report_pictures`."""

from __future__ import annotations

import contextlib
import tempfile
from importlib import import_module
from pathlib import Path

from hpcsweep.report.write import write_report
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from tests.support.browser import Browser, browser
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

PICTURES = Path(__file__).parents[2] / "docs/how-to/report"
COMMAND = "hpcsweep report oscillator"
# By picture: page, width and height.
VIEWS = {"overview.png": ("overview", 1000, 820), "results.png": ("results", 1000, 1500)}
PYTHON = """
import math
import random

def run(omega, damping, method, seed):
    if method == "euler" and omega > 5.4 and damping < 0.05:
        raise ArithmeticError(f"the solution diverges at step {round(100 * omega)}")
    gain = 1 / math.sqrt((1 - (omega / 3) ** 2) ** 2 + (2 * damping * omega / 3) ** 2)
    error = (0.02 if method == "euler" else 4e-4) * omega ** 2
    noise = random.Random(seed).gauss(1, 0.04)
    return {"amplitude": gain * noise, "energy": 0.5 * (gain * omega) ** 2, "error": error * noise}
"""


def oscillator(root: Path) -> Path:
    """The report of a driven oscillator, some of whose cases fail."""
    source = grid(
        omega=[0.5 * (1 + step) for step in range(12)],
        damping=[0.02, 0.05, 0.1, 0.2],
        method=["euler", "rk4"],
    )
    made = MadeSweep(root, source, python=PYTHON, name="oscillator", replicates=3)
    made.plan(chunk_size=288)
    made.handed_in()
    made.run()
    with contextlib.chdir(root):  # the commands of a report name the sweep as from here
        return write_report(made.directory, None, Settings())


def take(report: Path, page: Browser, place: Path) -> None:
    """Write a picture of each view of a report."""
    for name, (section, width, height) in VIEWS.items():
        page.open(report, section, width=width)
        if section != "overview":
            page.figures()
            wait_until(
                lambda: page.run("return !!document.querySelector('.cases table')"), 60, "cases"
            )
        page.screenshot(place / name, height)
        _describe(place / name, report)


def _describe(picture: Path, report: Path) -> None:
    """Write into the metadata which manifest and command it shows, as `plot` does."""
    (manifest,) = (report.parent / "manifests").iterdir()
    chunks = import_module("PIL.PngImagePlugin").PngInfo()
    chunks.add_text("Description", f"manifest {manifest.name}; {COMMAND}")
    import_module("PIL.Image").open(picture).save(picture, pnginfo=chunks, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, browser() as one:
        take(oscillator(Path(temporary)), one, PICTURES)
