"""What slots of a task cost and bring: their start, cases that compute, and cases that do nothing.

    python benchmarks/worker_slots.py

Wants the processors for itself; on a busy machine run it as `chrt -f 20 python …`.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

import measuring

from hpcsweep.sweepdir.directory import SweepDirectory

ROUNDS = 9
# Slots of the task whose start is compared with that of one slot.
MANY = 8
# Milliseconds of each further slot, and how many times as fast two slots are on two CPUs.
SLOT_MS, TWO = 5, 1.7
CASES = 16
NOTHINGS = 1000
# Cases per second of one worker, by the layout of runs.
RATES = {"packed": 1000, "all": 500}

TELLS = """\
import time

def run(x):
    now = time.monotonic_ns()
    with open(f"{__file__}.{x}", "w") as stream:
        stream.write(str(now))
    time.sleep(0.5)
"""
BURNS = """\
import time

def run(x):
    end = time.process_time() + 0.15
    while time.process_time() < end:
        pass
"""


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        python = measuring.installed(root / "venv")
        print(f"{measuring.machine()}; medians of {ROUNDS} interleaved rounds")
        _start(python, root)
        _speedup(python, root)
        _rates(python, root)


def _start(python: str, root: Path) -> None:
    sweeps = {slots: _sweep(root / f"start{slots}", TELLS, slots, slots) for slots in (1, MANY)}
    one, many = measuring.medians(
        ROUNDS,
        lambda: _until_last(python, sweeps[1], 1),
        lambda: _until_last(python, sweeps[MANY], MANY),
    )
    measuring.show(
        "From the start of a task to the first line of the function in its last slot",
        ("slots", "time", "each further slot", "budget"),
        [
            ("1", f"{1e3 * one:.1f} ms", "", ""),
            (
                str(MANY),
                f"{1e3 * many:.1f} ms",
                f"{1e3 * (many - one) / (MANY - 1):.1f} ms",
                f"{SLOT_MS} ms",
            ),
        ],
    )


def _speedup(python: str, root: Path) -> None:
    sweeps = [_sweep(root / f"burn{slots}", BURNS, slots, CASES) for slots in (1, 2)]
    one, two = measuring.medians(3, *(partial(_task, python, sweep) for sweep in sweeps))
    measuring.show(
        f"{CASES} cases that compute for 0.15 s",
        ("slots", "time", "ratio", "budget"),
        [("1", f"{one:.2f} s", "", ""), ("2", f"{two:.2f} s", f"{one / two:.2f}", str(TWO))],
    )


def _rates(python: str, root: Path) -> None:
    rows = []
    for runs, budget in RATES.items():
        few = _sweep(root / f"{runs}1", measuring.NOTHING, 1, 1, runs=runs)
        for slots in (1, 2):
            sweep = _sweep(
                root / f"{runs}{slots}.{NOTHINGS}", measuring.NOTHING, slots, NOTHINGS, runs=runs
            )
            start, whole = measuring.medians(
                3, partial(_task, python, few), partial(_task, python, sweep)
            )
            rate = (NOTHINGS - 1) / (whole - start)
            rows.append((runs, str(slots), f"{rate:.0f}", str(budget) if slots == 1 else ""))
    measuring.show(
        "No-op Python cases per second of one worker, without its start",
        ("`runs:`", "slots", "cases/s", "budget"),
        rows,
    )


def _sweep(
    directory: Path, target: str, slots: int, cases: int, *, runs: str = "all"
) -> SweepDirectory:
    more = f"slots: {slots}\n"
    return measuring.prepared(directory, cases, runs=runs, target=target, more=more)


def _task(python: str, sweep: SweepDirectory) -> float:
    """Seconds of a task."""
    measuring.forget_runs(sweep)
    argv = measuring.worker_argv(sweep, python)
    environment = measuring.job_environment() | {"SLURM_CPUS_ON_NODE": str(os.cpu_count())}
    return measuring.seconds(
        lambda: subprocess.run(argv, env=environment, capture_output=True, check=True)
    )


def _until_last(python: str, sweep: SweepDirectory, slots: int) -> float:
    """Seconds from the start of the worker's process to the function in the last slot."""
    measuring.forget_runs(sweep)
    argv = measuring.worker_argv(sweep, python)
    environment = measuring.job_environment() | {"SLURM_CPUS_ON_NODE": str(slots)}
    begun = time.monotonic_ns()
    subprocess.run(argv, env=environment, capture_output=True, check=True)
    marks = [sweep.path.parent / f"target.py.{x}" for x in range(slots)]
    arrived = max(int(mark.read_text()) for mark in marks)
    for mark in marks:
        mark.unlink()
    return (arrived - begun) / 1e9


if __name__ == "__main__":
    main()
