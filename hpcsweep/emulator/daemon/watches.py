"""Watches of a running job: its time, its memory, the client that holds its allocation.

Each watch renews its timer until the run ends, and calls back when it must act.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hpcsweep.emulator import processes
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon import memory, signals, timelimit
from hpcsweep.emulator.daemon.timers import Timers
from hpcsweep.emulator.jobs import Job

Action = Callable[[Job], None]

# Seconds between two polls of an allocation's client.
_CLIENT_POLL_S = 1.0


def watch_time(
    job: Job, timers: Timers, settings: EmulatorConfig, *, warn: Action, when_over: Action
) -> None:
    """Call `warn` at the time of --signal, and `when_over` when its limit ends the job."""
    deadlines = timelimit.deadlines(job, settings)
    if deadlines is None:
        return
    version = timelimit.version(job)

    def end() -> None:
        if job.state == "RUNNING" and timelimit.version(job) == version:
            when_over(job)

    timers.at(timers.on_tick(deadlines.end_at), end)
    if deadlines.warn_at is not None:
        timers.at(timers.on_tick(deadlines.warn_at), lambda: warn(job))


def watch_memory(job: Job, timers: Timers, poll_s: float, *, when_exceeded: Action) -> None:
    """Call `when_exceeded` at each poll at which the job uses more than its --mem."""
    if not poll_s or not job.request.mem_mb:
        return
    run = job.restart

    def poll() -> None:
        if job.state == "RUNNING" and job.restart == run:
            if memory.is_exceeded(job, signals.processes_of(job)):
                when_exceeded(job)
            watch_memory(job, timers, poll_s, when_exceeded=when_exceeded)

    timers.at(time.time() + poll_s, poll)


def watch_client(job: Job, timers: Timers, *, when_dead: Action) -> None:
    """Call `when_dead` once the allocation's client was killed."""

    def poll() -> None:
        if job.state != "RUNNING":
            return
        if processes.is_alive(processes.Process(job.pid, 0, 0, job.birth)):
            watch_client(job, timers, when_dead=when_dead)
        else:
            when_dead(job)

    timers.at(time.time() + _CLIENT_POLL_S, poll)
