"""The memory that jobs with --mem use, and what the kernel does to one that uses more."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from hpcsweep.emulator import processes
from hpcsweep.emulator.daemon import launch
from hpcsweep.emulator.jobs import Job

if TYPE_CHECKING:
    from hpcsweep.emulator.daemon.controller import Controller

_MEGABYTE = 1 << 20
# What accounting shows of a job in which the kernel killed a process: 0:125.
OOM_SIGNAL = 125
_WORDS = (
    "Detected 1 oom-kill event(s) in StepId={}.batch. Some of your processes may have been "
    "killed by the cgroup out-of-memory handler."
)


def watch(controller: Controller, job: Job) -> None:
    """Look at a job's memory from time to time until it ends."""
    settings, run = controller.settings, job.restart
    if not settings.mem_poll_s or not job.request.mem_mb:
        return

    def look() -> None:
        if job.state == "RUNNING" and job.restart == run:
            if _used(controller, job) > _limit(job):
                overrun(controller, job)
            watch(controller, job)

    controller.timers.at(time.time() + settings.mem_poll_s, look)


def _limit(job: Job) -> int:
    """Bytes that the job may use, on all of its nodes."""
    return sum(job.request.memory_of(cpus) for cpus in job.places.values()) * _MEGABYTE


def _used(controller: Controller, job: Job) -> int:
    """Bytes: the resident ones first, which are cheap to read, then with shared pages divided."""
    members = controller.members(job)
    used = sum(processes.resident(one.pid) for one in members)
    if used <= _limit(job):
        return used
    return sum(processes.proportional(one.pid) for one in members)


def overrun(controller: Controller, job: Job) -> None:
    """Kill the largest process of the job, as the kernel does in a cgroup; the rest goes on."""
    members = controller.members(job)
    if job.state != "RUNNING" or not members:
        return
    largest = max(members, key=lambda one: processes.resident(one.pid))
    job.oom = True
    controller.record(job)
    processes.send([largest], signal.SIGKILL)
    launch.write_message(job, _WORDS.format(job.id))


def mark(job: Job) -> None:
    """The batch step of a job in which the kernel killed something is OUT_OF_MEMORY, however it
    ended."""
    if job.oom:
        job.batch_state, job.batch_code, job.batch_signal = "OUT_OF_MEMORY", 0, OOM_SIGNAL
