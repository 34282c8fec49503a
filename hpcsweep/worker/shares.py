"""The shares of a task's slots in its CPUs, memory and GPUs."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Mapping
from dataclasses import replace

from hpcsweep import allocation
from hpcsweep.allocation import TaskResources
from hpcsweep.errors import InputError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.worker import cpus, gpus
from hpcsweep.worker.cgroup import requested_bytes
from hpcsweep.worker.messages import write_notice
from hpcsweep.worker.process import Share
from hpcsweep.worker.start import Start

# Open files of a worker, and of each slot of it: pipes to its child and its maker, and its spool.
FILES, FILES_OF_SLOT = 64, 16
# Slurm's variables with a count of GPUs, of any type if none is in front; srun reads them all.
_GPU_COUNTS = ("SLURM_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK")
# A count of GPUs in SLURM_TRES_PER_TASK: `gres/gpu:4` (23.11), `gres/gpu=4`, `gres/gpu:a100=4`.
_GPUS_OF_PROCESS = re.compile(r"gres/gpu(?![^:=])")


def given(
    environment: Mapping[str, str], options: Mapping[str, str], start: Start | None = None
) -> TaskResources:
    """What this task has; `options` are those of sbatch that it asked with.

    By its `start`, if that says it.
    Without Slurm's variables, as under submitit's local executor: what this process may use.
    """
    if start is not None and start.cpus is not None:
        return TaskResources(
            cpus=start.cpus, mem_bytes=start.mem_bytes, gpus=gpus.count(environment)
        )
    numbers = {
        name: int(environment[f"SLURM_{name}"])
        for name in ("CPUS_ON_NODE", "CPUS_PER_TASK", "NTASKS")
        if environment.get(f"SLURM_{name}", "").isdigit()
    }
    is_whole = allocation.is_whole_node(options)
    count = numbers.get("CPUS_ON_NODE")
    # With hyperthreads Slurm gives whole cores, more CPUs than were asked for.
    if "CPUS_PER_TASK" in numbers and not is_whole:
        count = numbers["CPUS_PER_TASK"] * numbers.get("NTASKS", 1)
    memory = requested_bytes(environment)
    if memory is None and is_whole:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return TaskResources(
        cpus=count or _usable_cpus(), mem_bytes=memory, gpus=gpus.count(environment)
    )


def shares_of(
    manifest: FrozenManifest, environment: Mapping[str, str], start: Start | None = None
) -> list[Share]:
    """The share of each slot; at least one. Reports on standard error if they are too few.

    *Raises* InputError if the task has not the GPUs that a case needs.
    """
    needs, has = manifest.needs, given(environment, manifest.resources.options, start)
    if needs.gpus and needs.gpus > (has.gpus or 0):
        raise InputError(
            f"a case needs {needs.gpus} of the task's GPUs, and it has {has.gpus}: none of "
            f"{', '.join(gpus.VARIABLES)} names more",
            where="gpus_per_case",
            next_step="Ask for them in `slurm:`, on a partition whose nodes have them.",
        )
    slots = allocation.slots(needs, has) or 1
    count = min(slots, _raise_descriptor_limit(slots))
    if count < max(slots, needs.slots or 0):
        write_notice(
            f"{count} cases at a time, not {needs.slots or slots}: this task has {has.cpus} CPUs, "
            f"{has.gpus} GPUs, {(has.mem_bytes or 0) >> 20 or 'unknown'} MiB of memory, and may "
            f"open {resource.getrlimit(resource.RLIMIT_NOFILE)[1]} files"
        )
    cpus_of_case = allocation.cpus_of_case(replace(needs, slots=count), has.cpus or 1)
    threads: dict[str, str | None] = {**cpus.thread_variables(environment, cpus_of_case)}
    if count > 1:
        threads |= step_variables(environment, count, cpus_of_case, needs.gpus or 0)
    return [
        Share(
            cpus=bound,
            environment=threads
            | (gpus.variables(environment, slot, needs.gpus) if needs.gpus else {}),
            mem_bytes=has.mem_bytes and has.mem_bytes // count,
        )
        for slot, bound in enumerate(cpus.cpu_sets(environment, count, cpus_of_case))
    ]


def step_variables(
    environment: Mapping[str, str], slots: int, cpus_of_case: int, gpus_of_case: int
) -> dict[str, str | None]:
    """The variables by which srun takes the share of a slot, for the step of a case.

    It takes all that the job has of what they do not name, and the next slot's srun then waits for
    its end ("step creation temporarily disabled"). From 23.11 on it reads SLURM_CPUS_PER_TASK, and
    refuses another count in SLURM_TRES_PER_TASK, or SLURM_CPUS_PER_GPU beside it; before that, it
    reads SRUN_CPUS_PER_TASK. None removes a variable.
    """
    if "SLURM_JOB_ID" not in environment:
        return {}
    variables: dict[str, str | None] = {"SLURM_CPUS_PER_TASK": str(cpus_of_case)}
    if "SLURM_CPUS_PER_GPU" in environment:
        variables["SLURM_CPUS_PER_GPU"] = None
    if not environment.keys() & {"SLURM_MEM_PER_CPU", "SLURM_MEM_PER_GPU"}:
        # 0 is all memory of the job, without taking it from other steps.
        variables["SLURM_MEM_PER_NODE"] = str(((requested_bytes(environment) or 0) >> 20) // slots)
    per_process = environment.get("SLURM_TRES_PER_TASK")
    if per_process is not None:
        per_process = re.sub(r"(\bcpu[:=])\d+", rf"\g<1>{cpus_of_case}", per_process)
        variables["SLURM_TRES_PER_TASK"] = per_process
    if gpus_of_case:
        variables |= _gpu_variables(environment, per_process or "", gpus_of_case)
    return variables


def _gpu_variables(
    environment: Mapping[str, str], per_process: str, count: int
) -> dict[str, str | None]:
    """The variables by which srun takes so many GPUs; `per_process` is SLURM_TRES_PER_TASK.

    Those by which the job asked: srun refuses SLURM_GRES beside SLURM_GPUS_PER_NODE (26.05), and a
    type in one beside none in another ("with and without type identification", 22.05). Without a
    type it takes any GPUs of the job, which may have several types.
    """
    asked: dict[str, str | None] = {name: str(count) for name in _GPU_COUNTS if name in environment}
    parts = per_process.split(",")
    others = [part for part in parts if not _GPUS_OF_PROCESS.match(part)]
    if others != parts:
        sign = "=" if "=" in per_process else ":"
        asked["SLURM_TRES_PER_TASK"] = ",".join([*others, f"gres/gpu{sign}{count}"])
    variables = asked or {"SLURM_GRES": f"gpu:{count}"}
    if "SLURM_TRES_BIND" in environment:
        bound = environment["SLURM_TRES_BIND"]
        variables["SLURM_TRES_BIND"] = re.sub(r"(gres/gpu:per_task:)\d+", rf"\g<1>{count}", bound)
    if "SLURM_GPUS_PER_SOCKET" in environment:
        variables["SLURM_GPUS_PER_SOCKET"] = None
    if "SLURM_NTASKS_PER_GPU" in environment:
        # sbatch has multiplied it by the GPUs of the job; a case of a slot is one process.
        variables |= {"SLURM_NTASKS_PER_GPU": None, "SLURM_NTASKS": "1", "SLURM_NPROCS": "1"}
    return variables


def _raise_descriptor_limit(slots: int) -> int:
    """Allow the worker as many open files as these slots need. Returns for how many it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = slots if hard == resource.RLIM_INFINITY else (hard - FILES) // FILES_OF_SLOT
    needed = FILES + FILES_OF_SLOT * min(slots, most)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    return max(1, most)


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
