"""Memory limits of jobs with --mem.

Like the kernel in a cgroup: the largest process is killed, and the rest of the job continues.
"""

from __future__ import annotations

from hpcsweep.emulator import processes
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.versions import SlurmVersion

_MEGABYTE = 1 << 20
# Accounting's exit signal of a job in which the kernel killed a process: 0:125.
OOM_SIGNAL = 125


def message(job: Job, version: SlurmVersion) -> str:
    """What slurmstepd writes into the output of a job in which the kernel killed a process."""
    if version.since("24.11"):
        return (
            f"Detected 1 oom_kill event in StepId={job.id}.batch. "
            "Some of the step tasks have been OOM Killed."
        )
    return (
        f"Detected 1 oom-kill event(s) in StepId={job.id}.batch. Some of your processes may have "
        "been killed by the cgroup out-of-memory handler."
    )


def is_exceeded(job: Job, members: list[processes.Process]) -> bool:
    """Whether the processes of a job use more memory than requested.

    Resident sizes are cheap, but count shared pages several times; if they exceed the limit, the
    proportional sizes decide.
    """
    limit = _limit_bytes(job)
    if sum(processes.resident(member.pid) for member in members) <= limit:
        return False
    return sum(processes.proportional(member.pid) for member in members) > limit


def _limit_bytes(job: Job) -> int:
    """The memory limit of a job on all of its nodes, in bytes."""
    return sum(job.request.memory_of(cpus) for cpus in job.places.values()) * _MEGABYTE


def largest(members: list[processes.Process]) -> processes.Process | None:
    """The process that the kernel would kill."""
    return max(members, key=lambda member: processes.resident(member.pid), default=None)
