"""Functions as they are: a notebook's cells as a target, with arrays as fixed arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support import notebook
from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated

__all__ = ["emulated"]

DEFINE = """\
import numpy as np
from helper import twice
SCALE = {scale}
def simulate(x, data, log):
    return {{"y": twice(x) * SCALE + float(data.sum()), "data_is_writeable": data.flags.writeable}}
"""
SUBMIT = """\
import hpcsweep as hs, json
sweep = hs.Sweep("cells", hs.grid(x=[1, 2]), target=simulate, fixed={"data": np.arange(4.0)},
                 cluster="emulated", chunk=2)
sweep.submit()
sweep.wait()
"""
ROWS = """\
print(json.dumps([row.get("y") for row in sweep.cases()]))
"""


def test_cells_run_as_they_were_when_submitted(emulated: EmulatedCluster, tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    # The second definition is newer than the first submission, whose results stay.
    cells = [
        DEFINE.format(scale=10),
        SUBMIT,
        ROWS,
        DEFINE.format(scale=100),
        SUBMIT,
        ROWS,
        'sweep.submit(rerun="all"); sweep.wait()',
        ROWS,
    ]
    done = subprocess.run(
        [sys.executable, notebook.__file__, *cells],
        cwd=tmp_path,
        env=emulated.env(**INGEST_LATER),
        capture_output=True,
        text=True,
        check=False,
    )
    shown = [json.loads(line) for line in done.stdout.splitlines()]
    assert shown == [[26.0, 46.0], [26.0, 46.0], [206.0, 406.0]], done.stderr
    kept = [path.read_text() for path in tmp_path.rglob("outputs/cells/code/*/.hpcsweep/*/*.py")]
    scales = {line for text in kept for line in text.splitlines() if line.startswith("SCALE")}
    assert scales == {"SCALE = 10", "SCALE = 100"}
