"""The environment of a job: the submitted one, overridden by Slurm's variables."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

from hpcsweep.emulator import arrays, identity, names, patterns
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon import timelimit
from hpcsweep.emulator.daemon.pool import distribute
from hpcsweep.emulator.jobs import Job

# The same for all jobs on one node.
_CONSTANT = {
    "ENVIRONMENT": "BATCH",
    "SLURM_GTIDS": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_PRIO_PROCESS": "0",
    "SLURM_PROCID": "0",
    "SLURM_TOPOLOGY_ADDR_PATTERN": "node",
}

_YEAR_S = 365 * 24 * 3600
# The batch step, as 26.05 writes its number.
_BATCH_STEP = "-5"


def environment(
    job: Job, settings: EmulatorConfig, state_dir: Path, submitted: dict[str, str]
) -> dict[str, str]:
    """The job's environment: the submitted one, overridden by Slurm's variables."""
    request = job.request
    node, job_id, nodes = job.node, str(job.id), job.node_list
    cpus = str(job.places[node])
    values = dict(_CONSTANT)
    values |= dict.fromkeys(("HOSTNAME", "SLURMD_NODENAME"), node)
    values |= dict.fromkeys(("SLURM_JOB_NODELIST", "SLURM_NODELIST"), nodes)
    values |= dict.fromkeys(("SLURM_JOB_NUM_NODES", "SLURM_NNODES"), str(len(job.places)))
    values |= {
        "SLURM_CLUSTER_NAME": settings.cluster_name,
        "SLURM_CONF": str(state_dir / names.SLURM_CONF),
        "SLURM_CPUS_ON_NODE": cpus,
        "SLURM_JOBID": job_id,
        "SLURM_JOB_CPUS_PER_NODE": patterns.per_node(job.places.values()),
        "SLURM_JOB_GID": str(request.gid),
        "SLURM_JOB_ID": job_id,
        "SLURM_JOB_NAME": request.name,
        "SLURM_JOB_PARTITION": request.partition,
        "SLURM_JOB_QOS": request.qos,
        "SLURM_JOB_UID": str(request.uid),
        "SLURM_JOB_USER": request.user,
        "SLURM_SUBMIT_DIR": request.submit_dir,
        "SLURM_SUBMIT_HOST": request.submit_host,
        "SLURM_TASKS_PER_NODE": patterns.per_node(_tasks(job)),
        "SLURM_TOPOLOGY_ADDR": node,
    }
    if request.account:
        values["SLURM_JOB_ACCOUNT"] = request.account
    if request.cpus_per_task or "SLURM_CPUS_PER_TASK" in submitted:
        values["SLURM_CPUS_PER_TASK"] = str(max(1, request.cpus_per_task))
    if request.ntasks or request.ntasks_per_node:
        values["SLURM_NTASKS"] = values["SLURM_NPROCS"] = str(request.tasks)
    if request.ntasks_per_node:
        values["SLURM_NTASKS_PER_NODE"] = str(request.ntasks_per_node)
    if request.mem_mb:
        name = "SLURM_MEM_PER_CPU" if request.mem_per_cpu else "SLURM_MEM_PER_NODE"
        values[name] = str(request.mem_mb)
    if request.append:
        values["SLURM_OPEN_MODE"] = "a"
    if job.restart:
        values["SLURM_RESTART_COUNT"] = str(job.restart)
    if settings.time_scale != 1 and job.time_limit:  # a task cannot compute it
        values["SLURM_JOB_START_TIME"] = f"{job.started:.3f}"
        values["SLURM_JOB_END_TIME"] = f"{timelimit.limit_at(job, settings):.3f}"
    if job.task is not None:
        values |= _array_environment(job)
    values |= _environment_of_version(job, settings)
    return {"TMPDIR": "/tmp"} | submitted | values  # noqa: S108  # set by slurmstepd


def _environment_of_version(job: Job, settings: EmulatorConfig) -> dict[str, str]:
    """The variables that came and went with the versions."""
    request, version = job.request, settings.version
    if not version.since("24.11"):
        place = f"{settings.cluster_name}:{identity.host_name()}:0:9728:109"
        return {"SLURM_NODE_ALIASES": "(null)", "SLURM_WORKING_CLUSTER": place}
    limit = job.time_limit * 60 if job.time_limit else _YEAR_S
    values = {
        "SLURM_JOB_START_TIME": str(int(job.started)),
        "SLURM_JOB_END_TIME": str(int(job.started) + limit),
        "SLURM_OOM_KILL_STEP": "0",
    }
    if request.cpus_per_task:
        values["SLURM_TRES_PER_TASK"] = f"cpu={request.cpus_per_task}"
    if version.since("26.05"):
        values |= dict.fromkeys(("SLURM_STEPID", "SLURM_STEP_ID"), _BATCH_STEP)
        values |= {
            "SLURM_JOB_EXCLUSIVE": "NODE" if request.exclusive else "NO",
            "SLURM_JOB_OVERSUBSCRIBE": "YES" if request.oversubscribe else "NO",
            "SLURM_JOB_SLUID": f"s{request.token[:13].upper()}",
        }
    return values


def _tasks(job: Job) -> list[int]:
    """The tasks on each node; an exclusive node runs as many as fit."""
    room = {name: cpus // job.request.cpus_of_task for name, cpus in job.places.items()}
    if job.request.exclusive and not (job.request.ntasks or job.request.ntasks_per_node):
        return list(room.values())
    return list(distribute(job.request.tasks, room).values())


def _array_environment(job: Job) -> dict[str, str]:
    count, first, last, step = _array_shape(job.request.array)
    return {
        "SLURM_ARRAY_JOB_ID": str(job.request.id),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_ARRAY_TASK_ID": str(job.task),
        "SLURM_ARRAY_TASK_MAX": str(last),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_STEP": str(step),
    }


@functools.lru_cache(maxsize=16)
def _array_shape(array: str) -> tuple[int, int, int, int]:
    """Count, lowest and highest id, and the step, which is 1 unless it is constant."""
    ids = arrays.parse_array(array, arrays.ANY_ID)
    steps = {after - before for before, after in itertools.pairwise(ids)}
    return len(ids), ids[0], ids[-1], steps.pop() if len(steps) == 1 else 1
