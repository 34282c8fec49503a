"""Faults on order: what `chance` decides, or a command asks for, is done to jobs and services."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from hpcsweep.emulator import arrays
from hpcsweep.emulator.daemon import memory, preemption, recovery
from hpcsweep.emulator.faults.chance import OF_JOBS, OF_SERVICES, Fault, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpcsweep.emulator.daemon.controller import Controller
    from hpcsweep.emulator.jobs import Job


class Faults:
    """The scheduler's faults: ordered by the configuration, or live by a command."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        # Until when each service is away, seconds since the epoch, and its fault.
        self._away: dict[str, tuple[float, Fault]] = {}
        self._seen: dict[tuple[str, str], int] = {}

    @property
    def _plan(self) -> Plan:
        settings = self._controller.settings
        return Plan(seed=settings.seed, faults=settings.faults, ignore=settings.faults_ignore)

    def away(self, kind: str) -> Fault | None:
        """The fault of a service, while it lasts."""
        until, fault = self._away.get(kind, (0.0, None))
        return fault if until > time.time() else None

    def started(self, job: Job) -> None:
        """A job began to run: what is ordered for this run happens in time."""
        task = arrays.NO_TASK if job.task is None else job.task
        for fault, delay in self._plan.strikes(OF_JOBS, job.request.name, task, job.restart):
            self._later(delay, functools.partial(self.strike, fault.kind, job))

    def submitted(self, name: str) -> str:
        """An sbatch was accepted; "submit_timeout" where its answer is to get lost."""
        attempt = self._count("submitted", name)
        for fault in self._plan.faults:
            for chance in range(fault.times if fault.kind in OF_SERVICES else 0):
                number = attempt * fault.times + chance
                for one, delay in self._plan.strikes((fault.kind,), name, arrays.NO_TASK, number):
                    self._later(delay, functools.partial(self.leave, one))
        return self._of_submission("submit_timeout", name, attempt)

    def refused(self, name: str) -> bool:
        """Whether this sbatch is refused."""
        return bool(self._of_submission("refuse", name, self._count("refuse", name)))

    def _of_submission(self, kind: str, name: str, attempt: int) -> str:
        if not self._plan.strikes((kind,), name, arrays.NO_TASK, attempt):
            return ""
        self._note(kind, {"name": name})
        return kind

    def _count(self, what: str, name: str) -> int:
        number = self._seen.get((what, name), 0)
        self._seen[what, name] = number + 1
        return number

    def _later(self, delay: float, action: Callable[[], object]) -> None:
        self._controller.timers.at(time.time() + delay, action)

    def strike(self, kind: str, job: Job) -> bool:
        """Let it happen to a running job, now; whether it ran."""
        controller = self._controller
        if job.state != "RUNNING" or controller.jobs.get(job.id) is not job:
            return False
        task = None if job.task is None else job.task
        self._note(kind, {"job": job.request.id, "task": task, "restart": job.restart})
        if kind == "node_fail":
            recovery.fail_node_of(controller, job)
        elif kind == "preempt":
            preemption.preempt(controller, job)
        elif kind == "out_of_memory":
            memory.overrun(controller, job)
        else:
            controller.start_again_beside(job)
        return True

    def leave(self, fault: Fault) -> None:
        """A service is away from now on."""
        self._away[fault.kind] = (time.time() + fault.seconds, fault)
        self._note(fault.kind, {"seconds": fault.seconds})
        self._later(fault.seconds, lambda: None)

    def come_back(self) -> None:
        """All services are there again."""
        self._away.clear()

    def _note(self, kind: str, fields: dict[str, Any]) -> None:
        self._controller.log.append({"e": "fault", "at": time.time(), "kind": kind} | fields)


def order(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """A live order: `clear`, a service's absence, or a fault of running jobs."""
    kind = asked["kind"]
    if kind == "clear":
        controller.faults.come_back()
        return {"struck": 0}
    if kind in OF_SERVICES:
        fields = {key: asked[key] for key in ("seconds", "delay_s") if asked.get(key) is not None}
        controller.faults.leave(Fault(kind=kind, rate=1.0, **fields))
        return {"struck": 1}
    struck = 0
    for job in [one for one in controller.live.values() if one.state == "RUNNING"]:
        is_meant = asked["job"] in (job.id, job.request.id)
        if is_meant and asked["task"] in (None, job.task):
            struck += controller.faults.strike(kind, job)
    controller.log.sync()
    return {"struck": struck}
