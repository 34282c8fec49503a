"""Running jobs after a crash of the scheduler, and at its stop."""

from __future__ import annotations

import signal
import time

from hpcsweep.emulator import processes
from hpcsweep.emulator.daemon import signals
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import Job

_KILL_S = 5.0
_POLL_S = 0.002


def recover(controller: Controller, *, is_same_boot: bool) -> None:
    """Take over from a dead scheduler: its running jobs end like on a failed node.

    Their processes are killed first, in all sessions, so that no run overlaps the next one.
    *Writes* the event log.
    """
    now = time.time()
    for job in [job for job in controller.table.live.values() if job.state != "PENDING"]:
        if is_same_boot:
            _kill(controller, job)
        job.places = job.places or {
            job.node: job.request.cpus
        }  # the log of an older version has none
        controller.pool.allocate(job)
        job.ended = job.ended or now
        job.batch_state = job.batch_state or "CANCELLED"
        # A job that was being terminated keeps its intended final state.
        reason = job.reason if job.ending else "NodeDown"
        controller.finish_run(job, job.ending or "NODE_FAIL", reason, 0, 0)
    for job in list(controller.table.jobs.values()):
        if job.is_final:
            controller.forget_later(job)
        elif job.state == "PENDING":
            controller.wake_at(job.begin)
    controller.log.sync()


def power_off(controller: Controller) -> None:
    """Kill all running jobs without a log entry; the next scheduler recovers like after a crash."""
    for job in controller.table.live.values():
        if job.state != "PENDING":
            _kill(controller, job)
    controller.log.close()


def _kill(controller: Controller, job: Job) -> None:
    """Kill all processes of the job, also those that left its session; wait for their end."""
    deadline = time.monotonic() + _KILL_S
    while members := [*signals.processes_of(job), *signals.marked(job, controller.state_dir)]:
        processes.send(members, signal.SIGKILL)
        if time.monotonic() > deadline:
            return  # uninterruptible sleep: a real node could not kill it either
        time.sleep(_POLL_S)
