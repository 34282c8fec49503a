"""The notebook of the examples runs in a kernel, and shows records as HTML and a figure."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated

__all__ = ["emulated"]

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook" / "sweep.ipynb"
# In a process of its own: a kernel's sockets and event loop leave warnings.
RUN = """\
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=240).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def outputs(
    emulated: EmulatedCluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """What each cell shows, by the last line of its source."""
    root = tmp_path_factory.mktemp("notebook")
    path = Path(shutil.copy(NOTEBOOK, root))
    done = subprocess.run(
        [sys.executable, "-c", RUN, path.name],
        cwd=root,
        env=emulated.env(**INGEST_LATER),
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'nbclient'" in done.stderr and "CI" not in os.environ:
        pytest.skip("nbclient is not installed: pip install --group dev")
    assert done.returncode == 0, done.stderr
    cells = json.loads(path.read_text())["cells"]
    return {
        "".join(cell["source"]).splitlines()[-1]: cell["outputs"]
        for cell in cells
        if cell["cell_type"] == "code"
    }


def shown(outputs: list[dict[str, Any]], kind: str = "text/html") -> str:
    return "".join("".join(output["data"].get(kind, "")) for output in outputs if "data" in output)


def test_records_are_tables(outputs: dict[str, list[dict[str, Any]]]) -> None:
    assert "Sweep notebook" in shown(outputs["sweep"])
    assert "6 of 6 cases would be submitted" in shown(outputs["sweep.plan()"])
    assert "6 cases submitted" in shown(outputs["sweep.submit()"])
    assert shown(outputs["sweep.submit()"], "text/plain").startswith("<Submitted 'notebook'")


def test_a_wait_is_one_bar(outputs: dict[str, list[dict[str, Any]]]) -> None:
    bar, summary = outputs["sweep.wait(progress=True)"]
    assert "<progress max='6' value='6'" in shown([bar])
    assert "6 complete of 6" in shown([bar])
    assert "notebook: 6 cases" in shown([summary])


def test_results_are_a_table_a_figure_and_a_page(
    outputs: dict[str, list[dict[str, Any]]],
) -> None:
    (table,) = (out for line, out in outputs.items() if line.startswith("sweep.to_dataframe"))
    assert "<th>energy</th>" in shown(table)
    (figure,) = (out for line, out in outputs.items() if line.startswith("sweep.plot"))
    assert shown(figure, "image/png")
    assert "report.html" in shown(outputs["sweep.report()"], "text/plain")
