"""Programs for concurrent.futures, joblib and submitit print the same with one line changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clusters import INGEST_LATER, EmulatedCluster, emulated

__all__ = ["emulated"]

# The first line of each is the one that changes.
POOL = (
    "from concurrent.futures import ProcessPoolExecutor as Pool",
    "import functools, hpcsweep; Pool = functools.partial(hpcsweep.Executor, cluster='emulated')",
    """
import math
from concurrent.futures import as_completed

NUMBERS = [112272535095293, 112582705942171, 115280095190773, 1099726899285419]

def is_prime(n):
    if n % 2 == 0:
        return False
    return all(n % divisor for divisor in range(3, math.isqrt(n) + 1, 2))

def inverse(x):
    return 1 / x

if __name__ == "__main__":
    with Pool(max_workers=2) as pool:
        for number, prime in zip(NUMBERS, pool.map(is_prime, NUMBERS)):
            print(number, prime)
        names = {pool.submit(inverse, x): x for x in (0, 1, 4)}
        ended = as_completed(names)
        print(sorted((names[call], repr(call.exception() or call.result())) for call in ended))
""",
)
BACKEND = (
    "; import joblib, hpcsweep.executor.joblib_backend"
    "; joblib.parallel_config('hpcsweep', cluster='emulated')"
)
JOBLIB = (
    "from joblib import Parallel, delayed",
    f"from joblib import Parallel, delayed{BACKEND}",
    """
def score(fold, depth):
    if depth > 3:
        raise ValueError(f"too deep: {depth}")
    return fold * depth

if __name__ == "__main__":
    print(Parallel(n_jobs=2)(delayed(score)(fold, depth=2) for fold in range(3)))
    try:
        Parallel(n_jobs=2)(delayed(score)(0, depth) for depth in (3, 4))
    except ValueError as error:
        print("failed:", error)
""",
)
SUBMITIT = (
    "import submitit; kind = 'local'",
    "import hpcsweep.executor.submitit as submitit; kind = 'local'",
    """
import asyncio

def add(a, b):
    print("adding", a)
    return a + b

if __name__ == "__main__":
    executor = submitit.AutoExecutor(folder="log_test/%j", cluster=kind)
    executor.update_parameters(timeout_min=4, slurm_partition="dev", slurm_array_parallelism=2)
    job = executor.submit(add, 5, 7)
    print(job.result(), job.done(), job.exception(), "adding 5" in job.stdout())
    with executor.batch():
        jobs = [executor.submit(add, x, b=1) for x in range(2)]
    print(sorted(job.result() for job in submitit.helpers.as_completed(jobs)))
    print([job.result() for job in executor.map_array(add, [1, 2], [10, 20])])
    multiplied = [executor.submit(lambda x: 3 * x, x).awaitable() for x in range(2)]
    async def all_of(jobs):
        return sorted([await each for each in asyncio.as_completed([job.result() for job in jobs])])
    print(asyncio.run(all_of(multiplied)))
    echo = submitit.helpers.CommandFunction(["echo", "a b"], verbose=False)
    print(executor.submit(echo, "c").result())
    print(executor.submit(lambda: submitit.JobEnvironment().num_tasks).result())
    job = executor.submit(lambda: 1 / 0)
    job.wait()
    print(job.state in ("FAILED", "FINISHED"), "ZeroDivisionError" in repr(job.exception()))
""",
)


@pytest.mark.soak  # the page of executors has shorter ones
@pytest.mark.parametrize("program", [POOL, JOBLIB, SUBMITIT], ids=["pool", "joblib", "submitit"])
def test_a_program_prints_the_same(
    emulated: EmulatedCluster, tmp_path: Path, program: tuple[str, str, str]
) -> None:
    *lines, rest = program
    env = emulated.env() | INGEST_LATER
    shown = []
    for name, line in zip(("before.py", "after.py"), lines, strict=True):
        (tmp_path / name).write_text(f"{line}\n{rest}")
        done = subprocess.run(
            [sys.executable, name],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown.append(done.stdout)
    assert shown[0] == shown[1] != ""
