"""Allocations without a script: those of salloc, and of srun outside of a job."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from hpcsweep.emulator import names, processes
from hpcsweep.emulator.daemon import launch, timelimit
from hpcsweep.errors import ClusterError

if TYPE_CHECKING:
    from hpcsweep.emulator.daemon.controller import Controller
    from hpcsweep.emulator.jobs import Job

# Seconds between two looks whether the program that holds an allocation lives.
_WATCH_S = 1.0
# What `salloc --no-shell` leaves: an allocation that nobody holds.
NO_SHELL = "no-shell"


def begin(controller: Controller, job: Job) -> None:
    """The allocation starts: its client may use it."""
    seen = processes.look(job.request.client_pid)
    job.pid, job.birth = (seen.pid, seen.birth) if seen else (0, 0)
    controller.record(job)
    timelimit.set_limit(controller, job)
    if job.request.client != NO_SHELL:
        _watch(controller, job)


def _watch(controller: Controller, job: Job) -> None:
    """End the allocation of a client that was killed."""

    def look() -> None:
        if job.state != "RUNNING":
            return
        if processes.is_alive(processes.Process(job.pid, 0, 0, job.birth)):
            _watch(controller, job)
            return
        conf = os.fsencode(controller.state_dir / names.SLURM_CONF)
        marks = (b"SLURM_CONF=" + conf, b"SLURM_JOB_ID=%d" % job.id)
        processes.send(processes.marked(marks), signal.SIGKILL)
        controller.over(job, "CANCELLED", "None", 0, 0)

    controller.timers.at(time.time() + _WATCH_S, look)


def look(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """How the allocation is doing, and once it runs, its variables."""
    job = controller.jobs.get(asked["job"])
    if job is None:
        raise ClusterError("Invalid job id specified")
    found: dict[str, Any] = {"state": job.state, "reason": job.reason}
    if job.state == "RUNNING":
        found["environment"] = launch.environment(
            job, controller.settings, controller.state_dir, {}
        )
    return found


def end(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The client is done; its exit code is the job's."""
    job = controller.jobs.get(asked["job"])
    if job is None or job.is_final:
        return {"state": job.state if job else ""}
    code, number = asked["code"], asked["signal"]
    if job.state == "PENDING":
        controller.cancel_waiting(job, by=job.request.uid)
    elif job.state == "RUNNING":
        failed = bool(code or number)
        reason = "NonZeroExitCode" if failed else "None"
        controller.over(job, "FAILED" if failed else "COMPLETED", reason, code, number)
        controller.log.sync()
    return {"state": job.state}
