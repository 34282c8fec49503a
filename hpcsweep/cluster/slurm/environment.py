"""The environment in which Slurm's programs are started."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterable, Mapping

from hpcsweep.cluster.jobs import OwnJob
from hpcsweep.manifest.exclusive import same_request

# Prefixes of variables that change the output or behaviour of the programs.
_MISLEADING = ("SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SBATCH_")
# A user's defaults for options that the manifest leaves open.
_USER_DEFAULTS = frozenset(
    {
        "SBATCH_ACCOUNT",
        "SBATCH_CONSTRAINT",
        "SBATCH_PARTITION",
        "SBATCH_QOS",
        "SBATCH_RESERVATION",
        "SBATCH_WCKEY",
    }
)
# Defaults that a plan has to know, and so must be in the manifest, by their options (22.05).
_IN_MANIFEST = {
    "SBATCH_EXCLUSIVE": "exclusive",
    "SBATCH_GPUS": "gpus",
    "SBATCH_GPUS_PER_NODE": "gpus-per-node",
    "SBATCH_GPUS_PER_TASK": "gpus-per-task",
    "SBATCH_GRES": "gres",
    "SBATCH_MEM_PER_CPU": "mem-per-cpu",
    "SBATCH_MEM_PER_GPU": "mem-per-gpu",
    "SBATCH_MEM_PER_NODE": "mem",
    "SBATCH_TIMELIMIT": "time",
}
# What a launcher of MPI sets for one process, such as the shell of `srun --pty bash`: a job that is
# submitted from there would take its own programs for ranks of a launcher that is gone.
_OF_A_RANK = re.compile(
    r"PMI_(?:RANK|SIZE|FD|PORT|JOBID|ID|SPAWNED)|PMI2_\w+|PMIX_(?!MCA_)\w+"
    r"|OMPI_(?:COMM_WORLD|UNIVERSE|APP_CTX)_\w+|OMPI_FIRST_RANKS|OMPI_COMMAND|OMPI_ARGV"
)
# What srun takes in the job of the shell that submits: in a task with fewer CPUs it would refuse
# the step of each case (22.05 and 23.02).
_OF_A_STEP = "SRUN_CPUS_PER_TASK"
# Variables that select the cluster. All other SLURM_ variables belong to a job in which hpcsweep
# itself runs, and would leak into the jobs that it submits.
_WHICH_CLUSTER = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER"})
# Limits of a login node's processes that end a case, by Slurm's names: what they limit, and their
# letters for `ulimit`.
_LIMITS = {
    "AS": (resource.RLIMIT_AS, "address space", "v"),
    "CPU": (resource.RLIMIT_CPU, "processor time", "t"),
    "FSIZE": (resource.RLIMIT_FSIZE, "size of files", "f"),
}
# The user's token, if the login shell authenticates by auth/jwt. It is a secret: only the
# environment of the programs has it, and `pointed_at` does not return it.
TOKEN = "SLURM_JWT"  # noqa: S105  # the name of a variable


def clean_environment(extra: Mapping[str, str], directives: frozenset[str]) -> dict[str, str]:
    """The environment for Slurm's programs.

    `directives` are the sbatch options that the script sets: an environment variable would win
    over the script (Slurm's precedence is command line, environment, `#SBATCH`). Where `extra`
    selects a cluster, as for an emulated one, the user's own selection is left out.
    """
    users = {TOKEN} if _WHICH_CLUSTER & extra.keys() else {TOKEN, *_WHICH_CLUSTER}
    kept = {}
    for name, value in os.environ.items():
        if name.startswith("SLURM_") and name not in users:
            continue
        if _OF_A_RANK.fullmatch(name) or name == _OF_A_STEP:
            continue
        if name.startswith(_MISLEADING):
            option = name.removeprefix("SBATCH_").lower()
            if name not in _USER_DEFAULTS or option in directives:
                continue
        kept[name] = value
    # 0 shows a long sparse array in full, not its first 31 or 64 characters.
    return kept | {"SLURM_BITSTR_LEN": "0"} | dict(extra)


def ignored_defaults(options: Mapping[str, str]) -> list[str]:
    """Notes on a user's defaults for sbatch that do not reach it and that no option replaces."""
    notes = [
        f"{name}={os.environ[name]} of the environment is not used: write `{option}` below `slurm:`"
        for name, option in _IN_MANIFEST.items()
        if name in os.environ and options.keys().isdisjoint(same_request(option))
    ]
    cluster = os.environ.get("SBATCH_CLUSTERS")
    if cluster and not os.environ.get("SLURM_CLUSTERS"):
        notes.append(
            f"SBATCH_CLUSTERS={cluster} of the environment is not used, as squeue and the other "
            "programs do not know it: set SLURM_CLUSTERS, which all of them know"
        )
    return notes


def finite_limits() -> list[str]:
    """Slurm's names of the limits that this process has, and that would end a case."""
    infinity = resource.RLIM_INFINITY
    return [name for name, of in _LIMITS.items() if resource.getrlimit(of[0])[0] != infinity]


def inherited_limits(names: Iterable[str], configuration: Mapping[str, str]) -> list[str]:
    """A note on the limits that sbatch hands on to every task; none where the site prevents it."""

    # One of the two keys is set; the other one is shown as "(null)" (22.05).
    kinds, exceptions = (
        set(configuration.get(f"PropagateResourceLimits{end}", "(null)").split(","))
        for end in ("", "Except")
    )
    passed_on = [
        _LIMITS[name]
        for name in names
        if kinds & {"ALL", name} or ("(null)" not in exceptions and name not in exceptions)
    ]
    if not passed_on:
        return []
    limits = ", ".join(f"{what} (`ulimit -{letter}`)" for _, what, letter in passed_on)
    note = (
        f"this shell limits its processes in {limits}, and Slurm hands that on to every task: "
        "write `propagate: NONE` below `slurm:` if it is for the login node alone"
    )
    return [note]


def pointed_at(environment: Mapping[str, str]) -> str:
    """The environment variables that select the cluster."""
    return " ".join(environment.get(name, "") for name in sorted(_WHICH_CLUSTER))


def own_job() -> OwnJob | None:
    """The job in which this process runs; None outside of jobs."""
    job_id, restarts = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_RESTART_COUNT", "")
    if not job_id:
        return None
    name = os.environ.get("SLURM_JOB_NAME", "")
    return OwnJob(job_id, name, int(restarts) if restarts.isdecimal() else 0)
