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
    return {name: str(cpus_per_case) for name in THREAD_VARIABLES if name not in environment}


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
