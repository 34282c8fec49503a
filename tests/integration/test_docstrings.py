"""The examples in the docstrings of public names run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated
from tests.support.docstrings import FOREIGN, documented

__all__ = ["emulated"]

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "reference" / "python.md"


def test_examples_of_docstrings_run(emulated: EmulatedCluster, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for name, text in (("model.py", "def simulate("), ("mine.py", "class Squares:")):
        (block,) = (block for block in blocks if block.startswith(text))
        (tmp_path / name).write_text(block)
    (tmp_path / "cases.csv").write_text("a,b\n1,x\n2,y\n")
    env = emulated.env(**INGEST_LATER) | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.docstrings"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d\d+ examples, 0 failures$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "text"),
    [pytest.param(name, text, id=name) for name, text in documented() if name not in FOREIGN],
)
def test_every_name_and_every_method_has_an_example(name: str, text: str) -> None:
    assert ">>> " in text, name
