"""What one case costs a worker: no-op cases per second of the processor, by the layout of the runs.

    python benchmarks/worker_cases.py

A task of CASES cases less a task of one, all processes of both counted: the start is in neither.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import tempfile
from pathlib import Path

import measuring

CASES = 400
ROUNDS = 3
# Cases per second of the processor.
BUDGETS = {"none": "", "failed": "", "packed": "1000", "all": "500"}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        python = measuring.installed(Path(temporary) / "venv")
        print(f"{measuring.machine()}; median of {ROUNDS} interleaved rounds of {CASES} cases")
        seen = [
            {runs: _costs(Path(temporary) / f"{number}.{runs}", python, runs) for runs in BUDGETS}
            for number in range(ROUNDS)
        ]
    rows = []
    for runs, budget in BUDGETS.items():
        user, system = (statistics.median(one[runs][which] for one in seen) for which in (0, 1))
        rate = 1 / (user + system)
        rows.append((runs, f"{rate:.0f}", budget, f"{1e3 * user:.2f} ms", f"{1e3 * system:.2f} ms"))
    columns = ("`runs:`", "cases per processor second", "budget", "user", "system")
    measuring.show("No-op Python cases", columns, rows)


def _costs(directory: Path, python: str, runs: str) -> tuple[float, float]:
    """Seconds of a case in user and in system mode."""
    directory.mkdir()
    one = _task(directory / "one", python, runs, 1)
    all_of_them = _task(directory / "all", python, runs, CASES)
    user, system = (
        (more - less) / (CASES - 1) for more, less in zip(all_of_them, one, strict=True)
    )
    return user, system


def _task(project: Path, python: str, runs: str, cases: int) -> tuple[float, float]:
    sweep = measuring.prepared(project, cases, runs=runs)
    (project / "target.py").write_text("def run(x):\n    return {'y': x}\n")
    argv = measuring.worker_argv(sweep, python)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=measuring.job_environment(), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
