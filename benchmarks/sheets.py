"""A sample sheet of a million rows: checked by `validate`, and one row of it found by a task.

python benchmarks/sheets.py [ROWS]
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring

from hpcsweep.sources import source_from_manifest_dict, table

ROWS = 1_000_000
ROUNDS = 15
BUDGET_S, BUDGET_MB, BUDGET_US = 30, 300, 1000
COLUMNS = ("sample", "fasta", "group", "dose", "cells", "treated")
MANIFEST = """\
name: sheet
command: [./align.sh, "{sample}", "{fasta}", "{dose}", "{cells}"]
source: {table: {file: FILE, key: sample}}
"""


def main(arguments: list[str]) -> None:
    """Measure and print."""
    rows = int(arguments[0] if arguments else ROWS)
    found = []
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        print(f"{measuring.machine()}; {rows:,} rows of {len(COLUMNS)} columns")
        file = _written(root / "sheet.csv", rows)
        found.append(_validated(root, file))
        source = table(file, key="sample")
        frozen = root / "frozen"
        frozen.mkdir()
        source.write_frozen(frozen)
        described = source.to_frozen_dict()

        def one() -> float:
            begun = time.thread_time()
            source_from_manifest_dict(described, frozen)[rows // 2 + 1]
            return time.thread_time() - begun

        (seconds,) = measuring.medians(ROUNDS, one)
        found.append(("one row, by a task", "", f"{1e6 * seconds:.0f} µs", "", f"{BUDGET_US} µs"))
    measuring.show(
        "A sheet of so many rows", ("what", "clock", "processor", "peak", "budget"), found
    )


def _written(file: Path, rows: int) -> Path:
    draw = random.Random(1)  # noqa: S311  # the same sheet each time
    with file.open("w") as stream:
        stream.write(",".join(COLUMNS) + "\n")
        for row in range(rows):
            cells = (
                f"s{row:07d}",
                f"reads/{row % 1000:03d}/s{row:07d}.fa",
                f"g{row % 17}",
                f"{draw.uniform(0, 10):.3f}",
                f"{draw.randrange(100_000)}",
                "TRUE" if row % 2 else "FALSE",
            )
            stream.write(",".join(cells) + "\n")
    return file


def _validated(root: Path, file: Path) -> tuple[str, ...]:
    (root / "m.yaml").write_text(MANIFEST.replace("FILE", file.name))
    begun = time.perf_counter()
    command = [sys.executable, "-m", "hpcsweep", "validate", "m.yaml"]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL)
    _, state, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise SystemExit(f"validate ended with {process.returncode}")
    return (
        f"`validate`, a file of {file.stat().st_size / 1e6:.0f} MB",
        f"{time.perf_counter() - begun:.1f} s",
        f"{usage.ru_utime + usage.ru_stime:.1f} s",
        f"{usage.ru_maxrss * 1024 / 1e6:.0f} MB",
        f"{BUDGET_S} s, {BUDGET_MB} MB",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
