"""What a submit costs by the count of cases: processor time, memory, files. None may grow with it.

    python benchmarks/submit.py

A cluster that accepts every array and runs none, so sbatch costs nothing; each submit is a process
of its own, which loads hpcsweep, tries the target in a fresh interpreter and writes the sweep.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring

ROUNDS = 3
COUNTS = (10**3, 10**6, 10**9)
# Beside the start of a program that loads what a submit loads; in seconds, files and megabytes.
BUDGET_S, BUDGET_FILES, BUDGET_MB = 1, 10, 100
# What is added to the manifest.
KINDS = {"as it is": "", "`case_seconds: 60`": "case_seconds: 60", "`canary: 5`": "canary: 5"}


def one(directory: Path) -> None:
    """Submit the manifest in `directory`, and print what it took."""
    begun = time.perf_counter()
    sweep = measuring.submitted(directory / "manifest.yaml", directory / "noop")
    took = time.perf_counter() - begun
    mine, others = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        json.dumps(
            {
                "seconds": sum(each.ru_utime + each.ru_stime for each in (mine, others)),
                "wall": took,
                "megabytes": max(mine.ru_maxrss, others.ru_maxrss) / 1024,
                "files": sum(path.is_file() for path in sweep.path.rglob("*")),
                "tasks": sweep.plan(1)[0].chunks,
            }
        )
    )


def measured(count: int, more: str) -> dict[str, float]:
    """What one submit of so many cases took."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        directory = Path(temporary)
        (directory / "target.py").write_text(measuring.TARGET)
        (directory / "manifest.yaml").write_text(
            f"name: noop\ntarget: target.py:run\nsource: {{grid: {{x: {{range: [0, {count}]}}}}}}\n"
            f"{more}\n"
        )
        argv = [sys.executable, __file__, temporary]
        done = subprocess.run(
            argv, env=measuring.environment(), capture_output=True, text=True, check=True
        )
        found: dict[str, float] = json.loads(done.stdout)
        return found


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        one(Path(sys.argv[1]))
        return
    print(f"{measuring.machine()}; the least of {ROUNDS} rounds")
    rows = []
    for count in COUNTS:
        for what, more in KINDS.items():
            seen = [measured(count, more) for _ in range(ROUNDS)]
            least = {name: min(each[name] for each in seen) for name in seen[0]}
            rows.append(
                (
                    f"{count:.0e}".replace("1e+0", "10^"),
                    what,
                    f"{least['tasks']:.0f}",
                    f"{least['seconds']:.2f} s",
                    f"{least['wall']:.2f} s",
                    f"{least['megabytes']:.0f} MB",
                    f"{least['files']:.0f}",
                )
            )
    rows.append(("budget", "", "", "", f"{BUDGET_S} s", f"{BUDGET_MB} MB", f"{BUDGET_FILES}"))
    columns = ("cases", "manifest", "tasks", "processor time", "submit", "memory", "files")
    measuring.show("A submit", columns, rows)


if __name__ == "__main__":
    main()
