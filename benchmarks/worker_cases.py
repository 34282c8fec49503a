"""What one case costs a worker: no-op cases per second of the processor, by isolation and layout.

    python benchmarks/worker_cases.py

A task of CASES cases less a task of one, all processes of both counted: the start is in neither.
All of them run on one CPU: a wake-up on another one costs more than what it wakes.
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
# Cases per second of the processor, by `isolation:` and `runs:`.
BUDGETS = {
    (isolation, runs): budget
    for isolation in ("task", "case")
    for runs, budget in (("none", ""), ("failed", ""), ("packed", "1000"), ("all", "500"))
}


def main() -> None:
    """Measure and print."""
    measuring.use_one_cpu()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        python = measuring.installed(Path(temporary) / "venv")
        print(f"{measuring.machine()}; median of {ROUNDS} interleaved rounds of {CASES} cases")
        seen = [
            {
                kind: _costs(Path(temporary) / f"{number}.{'.'.join(kind)}", python, kind)
                for kind in BUDGETS
            }
            for number in range(ROUNDS)
        ]
    rows = []
    for kind, budget in BUDGETS.items():
        user, system = (statistics.median(one[kind][which] for one in seen) for which in (0, 1))
        rate = f"{1 / (user + system):.0f}"
        rows.append((*kind, rate, budget, f"{1e3 * user:.2f} ms", f"{1e3 * system:.2f} ms"))
    columns = ("`isolation:`", "`runs:`", "cases per processor second", "budget", "user", "system")
    measuring.show("No-op Python cases", columns, rows)


def _costs(directory: Path, python: str, kind: tuple[str, str]) -> tuple[float, float]:
    """Seconds of a case in user and in system mode."""
    directory.mkdir()
    one = _task(directory / "one", python, kind, 1)
    all_of_them = _task(directory / "all", python, kind, CASES)
    user, system = (
        (more - less) / (CASES - 1) for more, less in zip(all_of_them, one, strict=True)
    )
    return user, system


def _task(project: Path, python: str, kind: tuple[str, str], cases: int) -> tuple[float, float]:
    isolation, runs = kind
    more = f"isolation: {isolation}\n"
    sweep = measuring.prepared(project, cases, runs=runs, target=measuring.NOTHING, more=more)
    argv = measuring.worker_argv(sweep, python)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, env=measuring.job_environment(), capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
