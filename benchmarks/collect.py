"""Collect: a table of a million rows out of the index, and what that takes of memory.

    python benchmarks/collect.py [ROWS]

The program is `hpcsweep collect` as users start it; its memory is the peak of its resident set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import measuring
from ingest import CHUNK, journalled

ROWS = 1_000_000
BUDGET_MB = 300
HPCSWEEP = (sys.executable, "-m", "hpcsweep")
FORMS = ("parquet", "csv", "jsonl")


def main(arguments: list[str]) -> None:
    """Measure and print."""
    rows = int(arguments[0] if arguments else ROWS) // CHUNK * CHUNK
    found = []
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        sweep = str(journalled(root, rows).path)
        print(f"{measuring.machine()}; {rows:,} rows")
        found.append(_row("ingest", rows, _run("ingest", sweep), BUDGET_MB))
        for form in FORMS:
            output = root / f"table.{form}"
            used = _run("collect", sweep, "--output", str(output))
            what = f"collect, {output.stat().st_size >> 20} MB {form}"
            found.append(_row(what, rows, used, BUDGET_MB if form == "parquet" else None))
        found.append(_row("status", rows, _run("status", sweep), None))
    measuring.show(
        "Commands on a sweep of so many cases", ("what", "clock", "rows/s", "peak", "budget"), found
    )


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took."""

    seconds: float
    # The highest resident set.
    peak_bytes: int


def _run(*arguments: str) -> Used:
    begun = time.perf_counter()
    process = subprocess.Popen([*HPCSWEEP, *arguments], stdout=subprocess.DEVNULL)
    _, state, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return Used(time.perf_counter() - begun, usage.ru_maxrss * 1024)


def _row(what: str, rows: int, used: Used, budget: int | None) -> tuple[str, ...]:
    peak = f"{used.peak_bytes / 1e6:.0f} MB"
    rate = f"{rows / used.seconds:,.0f}"
    return (what, f"{used.seconds:.1f} s", rate, peak, f"{budget} MB" if budget else "")


if __name__ == "__main__":
    main(sys.argv[1:])
