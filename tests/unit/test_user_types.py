"""What a user's own mypy says of a program over the public names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# A cold cache of mypy costs 10 s of processor time.
MYPY_S = 240

PROGRAM = """\
import hpcsweep as hs

def use(store: hs.Store[hs.Base]) -> None:
    store.sweep({"n": [1, 2], "name": ["a"], "k": range(3)})
    grid = {"n": [1, 2], "name": ["a"]}
    store.sweep(grid)
    store.sweep([{"n": 1, "name": "a"}])
    store.sweep(hs.grid(n=[1, 2], name=["a"]))
    list(store.map(str, {"n": [1, 2], "name": ["a"]}))
    store.sweep(3)
"""


def test_a_store_takes_a_grid_of_several_types_and_no_number(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    # In the repository, for the cache that `make lint` leaves.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(program)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=MYPY_S,
        check=False,
    )
    (error,) = (line for line in done.stdout.splitlines() if "error:" in line)
    assert f'{program.name}:10: error: Argument 1 to "sweep"' in error
