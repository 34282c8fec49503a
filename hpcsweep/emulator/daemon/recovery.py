"""What becomes of running jobs when a scheduler dies, and when it is stopped."""

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
    """Take over from a scheduler that died: its running jobs end as on a node that failed.

    Their processes are killed first, in any session, so that no run overlaps the next one.
    *Writes* the event log.
    """
    now = time.time()
    for job in [one for one in controller.table.live.values() if one.state != "PENDING"]:
        if is_same_boot:
            _kill(controller, job)
        job.places = job.places or {
            job.node: job.request.cpus
        }  # the log of an older version has none
        controller.pool.allocate(job)
        job.ended = job.ended or now
        job.batch_state = job.batch_state or "CANCELLED"
        # A job that was being ended keeps the state for which it was ended.
        reason = job.reason if job.ending else "NodeDown"
        controller.finish_run(job, job.ending or "NODE_FAIL", reason, 0, 0)
    for job in list(controller.table.jobs.values()):
        if job.is_final:
            controller.forget_later(job)
        elif job.state == "PENDING":
            controller.wake_at(job.begin)
    controller.log.sync()


def power_off(controller: Controller) -> None:
    """Kill all running jobs and write nothing: the next scheduler recovers as after a power cut."""
    for job in controller.table.live.values():
        if job.state != "PENDING":
            _kill(controller, job)
    controller.log.close()


def _kill(controller: Controller, job: Job) -> None:
    """Kill every process of the job, also those that left its session, and wait for their end."""
    deadline = time.monotonic() + _KILL_S
    while members := [*signals.processes_of(job), *signals.marked(job, controller.state_dir)]:
        processes.send(members, signal.SIGKILL)
        if time.monotonic() > deadline:
            return  # in an uninterruptible sleep: a real node could not kill it either
        time.sleep(_POLL_S)
