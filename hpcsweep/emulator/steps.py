"""The steps of a job: what srun starts in it, and who gets a signal."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

from hpcsweep.emulator import processes
from hpcsweep.emulator.jobs import Job
from hpcsweep.errors import ClusterError

if TYPE_CHECKING:
    from hpcsweep.emulator.controller import Controller


def begin(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Number a step of a running job; srun's process is the parent of its tasks."""
    job = controller.jobs.get(asked["job"])
    if job is None or job.state != "RUNNING":
        raise ClusterError("Invalid job id specified")
    number = controller.steps_begun.get(job.id, 0)
    controller.steps_begun[job.id] = number + 1
    seen = processes.look(asked["pid"])
    if seen is not None:
        controller.sruns.setdefault(job.id, []).append(seen)
    _record(controller, job, {"step": number, "name": asked["name"], "ntasks": asked["ntasks"]})
    return {"step": number, "node": job.node, "cpus": job.request.cpus}


def end(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """A step is over."""
    job = controller.jobs.get(asked["job"])
    if job is not None and not job.is_final:
        fields = {"step": asked["step"], "ended": time.time()}
        _record(controller, job, fields | {"code": asked["code"], "signal": asked["signal"]})
    return {}


def _record(controller: Controller, job: Job, fields: dict[str, Any]) -> None:
    event = {"e": "step", "at": time.time(), "id": job.id, "restart": job.restart}
    controller.log.append(event | fields)


def send(controller: Controller, job: Job, *signals: int) -> None:
    """Send signals to the processes of all steps: neither to srun nor to the batch script."""
    for srun in controller.sruns.get(job.id, []):
        if processes.is_alive(srun):
            processes.send(processes.below(srun), *signals)


def warn(controller: Controller, job: Job) -> None:
    """--signal: with `B:` to the batch shell alone, otherwise to the steps alone."""
    request = job.request
    if job.state != "RUNNING" or not request.signal:
        return
    if request.signal_batch:
        controller.signal_shell(job, signal.SIGCONT, request.signal)
    else:
        send(controller, job, signal.SIGCONT, request.signal)
