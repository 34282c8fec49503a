"""Draw the figures of docs/how-to/figures.md: `python -m tests.support.figures`.

The commands are read from the page and run on a sweep that is made for them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.indexset import IndexSet
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep

PAGE = Path(__file__).parents[2] / "docs/how-to/figures.md"
# A command of the page, and the figure that it draws.
EXAMPLE = re.compile(r"```sh\n(hpcsweep plot .*)\n```\n\n!\[[^]]*\]\((.*)\)")
# A noisy oscillator, of which the steps that are too long fail.
PYTHON = """
import random

def run(omega, dt, method, seed):
    if omega * dt > 0.25:
        raise ArithmeticError(f"dt {dt} is too long")
    error = omega * dt * (1.0 if method == "euler" else 0.1)
    noise = random.Random(seed).gauss(0, 0.15)
    return {"energy": 0.5 * omega**2 * (1 + error) + noise * omega}
"""


def examples() -> dict[Path, str]:
    """The commands of the page, by their figure."""
    return {PAGE.parent / file: line for line, file in EXAMPLE.findall(PAGE.read_text())}


def oscillator(outputs: Path) -> MadeSweep:
    """The sweep that the page draws, with two submissions: the second one repeats three cases."""
    source = grid(omega=[0.5, 1.0, 2.0, 3.0], dt=[0.01, 0.03, 0.1], method=["euler", "leapfrog"])
    made = MadeSweep(outputs, source, python=PYTHON, name="oscillator", replicates=5)
    for number, indices in enumerate((IndexSet.all(120), IndexSet.of([0, 1, 119])), start=1):
        made.plan(indices, chunk_size=120, generation=number - 1)
        made.handed_in(number)
        made.run(submission=number)
    return made


def call(line: str) -> str:
    """What a command line of hpcsweep prints, called in this process and directory."""
    argv = shlex.split(line)
    with patch.object(sys, "argv", argv):  # which `plot` writes into the file
        result = CliRunner().invoke(main, argv[1:], catch_exceptions=False)
    assert result.exit_code == 0, f"$ {line}\n{result.output}"
    return result.output


def draw(line: str) -> Path:
    """The figure that a command writes."""
    (path,) = re.findall(r"^written: (.*)$", call(line), re.MULTILINE)
    return Path(path)


@contextlib.contextmanager
def in_a_project() -> Iterator[Path]:
    """A directory, the working one meanwhile, whose `outputs` has the sweep."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        try:
            outputs = Path("outputs").resolve()
            outputs.mkdir()
            oscillator(outputs)
            yield outputs
        finally:
            os.chdir(before)


if __name__ == "__main__":
    with in_a_project():
        for place, command_line in examples().items():
            shutil.copyfile(draw(command_line), place)
