"""Terminate the processes of a job: CONT and TERM, KILL after KillWait, until none is left."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from hpcsweep.emulator import processes
from hpcsweep.emulator.daemon import signals
from hpcsweep.emulator.daemon.timers import Timers
from hpcsweep.emulator.jobs import Job

# Seconds between two polls for remaining processes of a killed job, until KillWait.
_POLL_S = 0.1
# Seconds from a decision to its signals: a job that requeues itself gets scontrol's answer first.
_DELIVERY_S = 0.2


class Termination:
    """The jobs whose processes are being terminated."""

    def __init__(self, timers: Timers, when_gone: Callable[[Job], None]) -> None:
        """`when_gone` is called once no process of a job is left."""
        self._timers = timers
        self._when_gone = when_gone
        # Processes that got TERM, by job id: some leave the job's session afterwards.
        self._doomed: dict[int, list[processes.Process]] = {}

    def begin(self, job: Job, kill_wait_s: float) -> None:
        """Start terminating a job that is COMPLETING since `job.ended`."""
        self._timers.at(job.ended + _DELIVERY_S, lambda: self._terminate(job))
        self._timers.at(job.ended + kill_wait_s, lambda: self.kill_rest(job))

    def kill_rest(self, job: Job) -> None:
        """Send KILL to the remaining processes of a COMPLETING job."""
        if job.state == "COMPLETING":
            processes.send(self._remaining(job), signal.SIGKILL)

    def finish_when_gone(self, job: Job) -> None:
        """Poll until no process of the job is left."""
        if self._remaining(job):
            self._timers.at(time.time() + _POLL_S, lambda: self.finish_when_gone(job))
        else:
            self._when_gone(job)

    def forget(self, job: Job) -> None:
        """Drop the state of an ended run."""
        self._doomed.pop(job.id, None)

    def _terminate(self, job: Job) -> None:
        if job.state != "COMPLETING":
            return
        self._doomed[job.id] = signals.processes_of(job)
        processes.send(self._doomed[job.id], signal.SIGCONT, signal.SIGTERM)
        if job.request.client:  # it has no batch shell to reap
            self.finish_when_gone(job)

    def _remaining(self, job: Job) -> list[processes.Process]:
        old = [process for process in self._doomed.get(job.id, []) if processes.is_alive(process)]
        return list(dict.fromkeys([*old, *signals.processes_of(job)]))
