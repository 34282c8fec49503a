"""docs/reference/python.md: every public name at work, and all of it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hpcsweep
from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated

__all__ = ["emulated"]

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference/python.md"
FILES = {"model.py": 0, "fit.py": 1, "mine.py": 2}
MANIFEST = """\
name: swing
target: model.py:simulate
source: {grid: {omega: [1.0, 2.0, 9.0], dt: [0.01]}}
"""
RUN = """\
import doctest, sys
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
print(doctest.testfile(sys.argv[1], module_relative=False, optionflags=flags))
"""


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def test_console_blocks_of_the_readme_show_the_real_output(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    for name, number in FILES.items():
        (tmp_path / name).write_text(blocks(PAGE, "python")[number])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(PAGE)],
        cwd=tmp_path,
        env=emulated.env(**INGEST_LATER),
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(r"^TestResults\(failed=0, attempted=\d{2,}\)$", done.stdout, re.MULTILINE), (
        done.stdout + done.stderr
    )


def test_every_public_name_has_an_example() -> None:
    words = re.findall(r"\w+", "".join(blocks(PAGE, "pycon")))
    assert set(hpcsweep.__all__) - set(words) == {"__version__"}
    assert set(re.findall(r"\bhs\.(\w+)", PAGE.read_text())) <= set(hpcsweep.__all__)


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_a_shell_does_with_any_layout_what_it_did_with_directories(
    emulated: EmulatedCluster, tmp_path: Path, runs: str
) -> None:
    if shutil.which("jq") is None:
        pytest.skip("there is no jq")
    (tmp_path / "model.py").write_text(blocks(PAGE, "python")[0])
    (tmp_path / "m.yaml").write_text(f"{MANIFEST}runs: {runs}\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def shell(command: str) -> str:
        return subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=tmp_path,
            env=emulated.env(**INGEST_LATER) | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    shell("hpcsweep submit m.yaml --wait --cluster emulated")
    (shown,) = (block for block in blocks(DOCS / "reference/cli.md", "console") if "jq" in block)
    for piece in re.split(r"^\$ ", shown, flags=re.MULTILINE)[1:]:
        command, printed = piece.split("\n", 1)
        assert re.fullmatch(re.escape(printed).replace("…", "[0-9a-f]+"), shell(command)), command
