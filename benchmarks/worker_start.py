"""From the start of an array task to the user's function: path look-ups and time.

    python benchmarks/worker_start.py

Needs strace for the look-ups.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import measuring

from hpcsweep.sweepdir.directory import SweepDirectory

ROUNDS = 41
# DESIGN invariant 17, and the figure of `import hpcsweep` beside it.
LOOKUPS_MAX = 700
WORKER_MS = 60
IMPORT_MS = 30


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        python = measuring.installed(Path(temporary) / "venv")
        sweep = measuring.prepared(Path(temporary) / "project")
        print(f"{measuring.machine()}; median of {ROUNDS} interleaved rounds")
        if shutil.which("strace"):
            _lookups(python, sweep)
        _times(python, sweep)


def _lookups(python: str, sweep: SweepDirectory) -> None:
    bare = measuring.lookups([python, "-I", "-c", "pass"], measuring.environment()).total()
    measuring.forget_runs(sweep)
    argv = measuring.worker_argv(sweep, python)
    found = measuring.lookups(argv, measuring.job_environment(), measuring.REACHED).total()
    measuring.show(
        "Path look-ups of all processes",
        ("what", "look-ups", "`python -I -c pass`", "ratio", "budget"),
        [
            (
                "start of a task to the user's function",
                str(found),
                str(bare),
                f"{found / bare:.1f}",
                f"{LOOKUPS_MAX}",
            )
        ],
    )


def _times(python: str, sweep: SweepDirectory) -> None:
    worker, imported, bare = measuring.medians(
        ROUNDS,
        lambda: _until_function(python, sweep),
        lambda: _run([python, "-I", "-c", "import hpcsweep"]),
        lambda: _run([python, "-I", "-c", "pass"]),
    )
    rows = [
        (
            what,
            f"{1e3 * value:.1f} ms",
            f"{1e3 * bare:.1f} ms",
            f"{1e3 * (value - bare):.1f} ms",
            f"{value / bare:.1f}",
            f"{budget} ms",
        )
        for what, value, budget in (
            ("start of a task to the user's function", worker, WORKER_MS),
            ("`import hpcsweep`", imported, IMPORT_MS),
        )
    ]
    columns = ("what", "time", "`python -I -c pass`", "over it", "ratio", "budget over it")
    measuring.show("Time", columns, rows)


def _until_function(python: str, sweep: SweepDirectory) -> float:
    """Seconds from the start of the worker's process to the first line of the function."""
    measuring.forget_runs(sweep)
    argv, environment = measuring.worker_argv(sweep, python), measuring.job_environment()
    begun = time.monotonic_ns()
    subprocess.run(argv, env=environment, capture_output=True, check=False)
    reached = sweep.path.parent / f"target.py.{measuring.REACHED}"
    arrived = int(reached.read_text())
    reached.unlink()
    return (arrived - begun) / 1e9


def _run(argv: list[str]) -> float:
    environment = measuring.environment()
    return measuring.seconds(lambda: subprocess.run(argv, env=environment, check=True))


if __name__ == "__main__":
    main()
