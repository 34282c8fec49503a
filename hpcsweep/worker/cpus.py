"""CPUs of a case: thread variables and affinity, set before any child starts (invariant 19)."""

from __future__ import annotations

import contextlib
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
)


def limit_threads(environment: MutableMapping[str, str], cpus_per_case: int) -> None:
    """Give numeric libraries as many threads as the case has CPUs; the user's settings win."""
    for name in THREAD_VARIABLES:
        environment.setdefault(name, str(cpus_per_case))
    # srun does not inherit --cpus-per-task from sbatch in Slurm 22.05 to 23.02.
    environment.setdefault("SRUN_CPUS_PER_TASK", str(cpus_per_case))


def limit_affinity(environment: Mapping[str, str], cpus_per_case: int) -> None:
    """Bind the case to `cpus_per_case` CPUs, if this cannot affect other jobs.

    Only if all CPUs that this process may use are the job's own: on a cluster without task binding,
    several tasks of one node would otherwise share the same first CPUs.
    """
    if not hasattr(os, "sched_getaffinity"):  # not on macOS
        return
    allowed = sorted(os.sched_getaffinity(0))
    ours = environment.get("SLURM_CPUS_ON_NODE", "")
    if ours.isdigit() and int(ours) == len(allowed) > cpus_per_case:
        with contextlib.suppress(OSError):  # best effort: an unbound case has all CPUs of the job
            os.sched_setaffinity(0, allowed[:cpus_per_case])
