"""--time and --signal: when a job is warned, and when it is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsweep.emulator.daemon import steps
from hpcsweep.emulator.jobs import Job

if TYPE_CHECKING:
    from hpcsweep.emulator.daemon.controller import Controller


def set_limit(controller: Controller, job: Job) -> None:
    """Remember when the job's time is over, and when to warn it."""
    minutes, timers, run = job.time_limit, controller.timers, job.restart
    if not minutes or job.state != "RUNNING":
        return
    scale, paused = controller.settings.time_scale, job.suspended_s

    def end() -> None:
        # Neither another run of the job, nor one that was suspended or got another limit meanwhile.
        is_same = (job.time_limit, job.restart, job.suspended_s) == (minutes, run, paused)
        if job.state == "RUNNING" and is_same:
            controller.kill(job, "TIMEOUT", "TimeLimit", " DUE TO TIME LIMIT")

    limit = job.started + paused + minutes * 60 * scale
    timers.at(timers.on_tick(limit), end)
    if job.request.signal:
        lead = max(job.started, limit - job.request.signal_lead * scale)
        timers.at(timers.on_tick(lead), lambda: steps.warn(controller, job))
