"""CPUs of a case: thread variables and affinity, set before any child starts (invariant 19)."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "JULIA_NUM_THREADS",
    # srun does not inherit --cpus-per-task from sbatch in Slurm 22.05 to 23.02.
    "SRUN_CPUS_PER_TASK",
)


def thread_variables(environment: Mapping[str, str], cpus_per_case: int) -> dict[str, str]:
    """As many threads of numeric libraries as a case has CPUs; the user's settings win."""
    counts = {name: str(cpus_per_case) for name in THREAD_VARIABLES if name not in environment}
    return counts | _count_of_processes(environment)


def _count_of_processes(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable by which srun starts one process, where the job names no count of them.

    With the CPUs of a process it starts as many as the job has CPUs for (22.05 to 26.05): one in
    each slot's place, and two where a core has two threads. Not SLURM_NTASKS, by which Lightning
    takes a process for one that srun has started.
    """
    is_named = any(name.startswith("SLURM_NTASKS") for name in environment)
    is_one_node = environment.get("SLURM_JOB_NUM_NODES") == "1"
    return {"SLURM_NPROCS": "1"} if is_one_node and not is_named else {}


def limit_threads(environment: MutableMapping[str, str], cpus_per_case: int) -> None:
    """Set the thread variables in the environment of a process."""
    environment.update(thread_variables(environment, cpus_per_case))


def cpu_sets(
    environment: Mapping[str, str], count: int, cpus_per_case: int
) -> list[frozenset[int] | None]:
    """The CPUs of each of `count` slots, no CPU in two of them; None where slots are not bound.

    They are bound only if all CPUs that this process may use are the job's own: on a cluster
    without task binding, several tasks of one node would otherwise share the same first CPUs.
    """
    unbound: list[frozenset[int] | None] = [None] * count
    if not hasattr(os, "sched_getaffinity"):  # not on macOS
        return unbound
    allowed = sorted(os.sched_getaffinity(0))
    ours = environment.get("SLURM_CPUS_ON_NODE", "")
    is_own = ours.isdigit() and int(ours) == len(allowed)
    if not is_own or count * cpus_per_case > len(allowed) or cpus_per_case == len(allowed):
        return unbound
    starts = range(0, count * cpus_per_case, cpus_per_case)
    return [frozenset(allowed[start : start + cpus_per_case]) for start in starts]
