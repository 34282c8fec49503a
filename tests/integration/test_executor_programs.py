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

INITIALIZED = (
    *POOL[:2],
    """
import numpy as np
data = None
def init(size, scale):
    global data
    data = scale * np.arange(size)
def column(i, j):
    return int(data[i] + data[j])
def fails(x):
    if x == 2:
        raise ValueError(f"bad {x}")
    return x
if __name__ == "__main__":
    with Pool(max_workers=2, initializer=init, initargs=(10, 3)) as pool:
        print(list(pool.map(column, range(4), range(4), chunksize=2)))
        results = pool.map(fails, range(4))
        print(next(results), next(results))
        try:
            next(results)
        except ValueError as error:
            print("error:", error)
        called = []
        future = pool.submit(fails, 3)
        future.add_done_callback(lambda one: called.append(one.result()))
        print(future.result(timeout=120))
    print(called)
""",
)
COMPLETING = (
    *POOL[:2],
    """
from concurrent.futures import FIRST_COMPLETED, wait
def work(n):
    return n, n * n
if __name__ == "__main__":
    todo, found = [5, 6, 7, 8], {}
    with Pool(max_workers=2) as pool:
        pending = {pool.submit(work, todo.pop(0)) for _ in range(2)}
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                n, square = future.result()
                found[n] = square
                if todo:
                    pending.add(pool.submit(work, todo.pop(0)))
    print(sorted(found.items()))
""",
)
AWAITED = (
    *POOL[:2],
    """
import asyncio, functools, os
def power(base, exponent=2):
    return base ** exponent
async def main():
    loop = asyncio.get_running_loop()
    with Pool(max_workers=3) as pool:
        cube = functools.partial(power, exponent=3)
        calls = [loop.run_in_executor(pool, cube, n) for n in range(4)]
        print(await asyncio.gather(*calls))
        first = await asyncio.wait_for(loop.run_in_executor(pool, power, 9), timeout=120)
        print(first)
if __name__ == "__main__":
    asyncio.run(main())
""",
)
GENERATED = (
    *JOBLIB[:2],
    """
from math import sqrt
if __name__ == "__main__":
    calls = (delayed(sqrt)(i) for i in range(6))
    print(sum(Parallel(n_jobs=2, return_as="generator", batch_size=2)(calls)))
    calls = (delayed(divmod)(i, 3) for i in range(4))
    print(sorted(Parallel(n_jobs=2, return_as="generator_unordered")(calls)))
""",
)
REUSED = (
    *JOBLIB[:2],
    """
from math import sqrt
if __name__ == "__main__":
    with Parallel(n_jobs=2) as parallel:
        total, rounds = 0.0, 0
        while total < 20:
            total += sum(parallel(delayed(sqrt)(total + i**2) for i in range(5)))
            rounds += 1
    print(round(total, 6), rounds)
""",
)
SEARCHED = (
    *JOBLIB[:2],
    """
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.svm import SVC
if __name__ == "__main__":
    X, y = load_iris(return_X_y=True)
    search = GridSearchCV(SVC(), {"C": [1, 10]}, cv=3, n_jobs=2).fit(X, y)
    print(search.best_params_, round(search.best_score_, 4))
    print(cross_val_score(SVC(C=1), X, y, cv=3, n_jobs=2).round(3).tolist())
""",
)
LISTED = (
    *SUBMITIT[:2],
    """
def f(a, b):
    print(a, b)
    return a + b
if __name__ == "__main__":
    executor = submitit.AutoExecutor(folder="logs", slurm_max_num_timeout=10, cluster="local")
    executor.update_parameters(
        timeout_min=10,
        slurm_gres="gpu:a40:1",
        cpus_per_task=1,
        stderr_to_stdout=True,
        slurm_name="mine",
        mem_gb=1,
        slurm_additional_parameters={"account": "x"},
        tasks_per_node=1,
        gpus_per_node=0,
        nodes=1,
    )
    jobs = []
    with executor.batch():
        for a in range(2):
            for b in range(2):
                jobs.append(executor.submit(f, a, b))
    for job in jobs:
        print(job.result(), bool(job.job_id), job.stderr() in (None, ""))
""",
)
CHECKPOINTED = (
    *SUBMITIT[:2],
    """
from pathlib import Path
class Training(submitit.helpers.Checkpointable):
    def __init__(self, lr):
        self.lr = lr
    def __call__(self, epochs):
        return [self.lr * epoch for epoch in range(epochs)]
class Trainer:
    def __call__(self, a, b):
        env = submitit.JobEnvironment()
        return a + b, env.global_rank, env.num_tasks
    def checkpoint(self, a, b):
        return submitit.helpers.DelayedSubmission(self, a, b)
if __name__ == "__main__":
    executor = submitit.AutoExecutor(folder=Path("log_test"), cluster="local")
    executor.update_parameters(timeout_min=4, name="train")
    with executor.batch():
        jobs = [executor.submit(Training(0.5), 3), executor.submit(Trainer(), 5, 7)]
    print([job.result() for job in jobs])
    print([job.done() for job in jobs], jobs[0].num_tasks if hasattr(jobs[0], "num_tasks") else 1)
""",
)
SEQUENCE = (
    *SUBMITIT[:2],
    """
import time
def fails():
    raise RuntimeError("it diverged")
def twice(x):
    return 2 * x
if __name__ == "__main__":
    executor = submitit.LocalExecutor(folder="log_test")
    executor.update_parameters(timeout_min=5)
    jobs = executor.map_array(twice, [1, 2, 3])
    while not all(job.done() for job in jobs):
        time.sleep(0.5)
    print([job.results()[0] for job in jobs])
    print({job.state for job in jobs} <= {"COMPLETED", "FINISHED", "DONE"})
    job = executor.submit(fails)
    try:
        job.result()
    except (submitit.core.utils.FailedJobError, RuntimeError) as error:
        print("it diverged" in str(error), "RuntimeError" in f"{job.exception()!r}{error}")
    print(submitit.helpers.FunctionSequence is not None)
    seq = submitit.helpers.FunctionSequence()
    seq.add(twice, 2)
    seq.add(twice, 3)
    print(executor.submit(seq).result())
""",
)
PROGRAMS = {
    "pool": POOL,
    "initialized": INITIALIZED,
    "completing": COMPLETING,
    "awaited": AWAITED,
    "joblib": JOBLIB,
    "generated": GENERATED,
    "reused": REUSED,
    "searched": SEARCHED,
    "submitit": SUBMITIT,
    "listed": LISTED,
    "checkpointed": CHECKPOINTED,
    "sequence": SEQUENCE,
}


@pytest.mark.soak  # the page of executors has shorter ones
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
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
