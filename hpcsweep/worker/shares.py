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
# Slurm's variables with a count of GPUs, behind their type if there is one; srun reads them all.
_GPU_COUNTS = ("SLURM_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK")


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
    threads = cpus.thread_variables(environment, cpus_of_case)
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
) -> dict[str, str]:
    """The variables by which srun takes the share of a slot, for the step of a case.

    It takes all that the job has of what they do not name, and the next slot's srun then waits for
    its end ("step creation temporarily disabled"). From 23.11 on it reads SLURM_CPUS_PER_TASK, and
    refuses another count in SLURM_TRES_PER_TASK; before that, it reads SRUN_CPUS_PER_TASK.
    """
    if "SLURM_JOB_ID" not in environment:
        return {}
    variables = {"SLURM_CPUS_PER_TASK": str(cpus_of_case)}
    if not environment.keys() & {"SLURM_MEM_PER_CPU", "SLURM_MEM_PER_GPU"}:
        # 0 is all memory of the job, without taking it from other steps.
        variables["SLURM_MEM_PER_NODE"] = str(((requested_bytes(environment) or 0) >> 20) // slots)
    counts = {r"\bcpu": cpus_of_case}
    if gpus_of_case:
        variables["SLURM_GRES"] = f"gpu:{gpus_of_case}"
        counts[r"\bgres/gpu(?:[:=][^:=,]*[^:=,\d][^:=,]*)?"] = gpus_of_case
        for name in _GPU_COUNTS:
            if name in environment:
                variables[name] = re.sub(r"\d+$", str(gpus_of_case), environment[name])
    if "SLURM_TRES_PER_TASK" in environment:
        per_task = environment["SLURM_TRES_PER_TASK"]
        for resource_name, number in counts.items():
            per_task = re.sub(rf"({resource_name}[:=])\d+", rf"\g<1>{number}", per_task)
        variables["SLURM_TRES_PER_TASK"] = per_task
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
