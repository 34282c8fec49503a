"""Requests of scancel: cancel or signal a job, and find the jobs that match its filters."""

from __future__ import annotations

import signal
from typing import Any

from hpcsweep.emulator import arrays
from hpcsweep.emulator.daemon import signals
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.daemon.table import Target
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.messages import ALREADY_OVER, INVALID_JOB
from hpcsweep.errors import ClusterError


def cancel(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Cancel or signal one target; `transitional` makes scancel retry, like in Slurm."""
    targets = controller.table.named(message["job"], message["tasks"])
    living = [(job, tasks) for job, tasks in targets if not job.is_final]
    if not living:
        raise ClusterError(ALREADY_OVER if targets else INVALID_JOB)
    number = message["signal"]
    if number not in (None, signal.SIGKILL):
        return _signal(controller, living, number, message)
    for job, tasks in living:
        if job.state != "PENDING":
            controller.kill(job, "CANCELLED", "None", by=message["uid"])
        elif tasks == set(job.waiting):
            controller.cancel_waiting(job, by=message["uid"])
        else:
            controller.cancel_elements(job, tasks)
    controller.log.sync()
    return {}


def _signal(
    controller: Controller, living: list[Target], number: int, message: dict[str, Any]
) -> dict[str, Any]:
    for job, _ in living:
        if job.state == "RUNNING" and message["batch"]:
            signals.send_to_shell(job, number)
        elif job.state == "RUNNING" and message["full"]:
            signals.send_to_all(job, number)
        elif job.state == "RUNNING":
            signals.send_to_steps(job, controller.steps, number)
    pending = [job for job, _ in living if job.state == "PENDING"]
    arrays_waiting = {
        other.request.id for other in controller.table.live.values() if other.is_remainder
    }
    if pending or any(job.request.id in arrays_waiting for job, _ in living):
        shown = _shown(pending[0] if pending else living[0][0])
        return {"transitional": True, "shown": shown, "scale": controller.settings.time_scale}
    return {}


def _shown(job: Job) -> str:
    """The name of a job in scancel's messages."""
    if job.task is not None:
        return f"{job.request.id}_{job.task}"
    if not job.waiting:
        return str(job.id)
    limit = f"%{job.throttle}" if job.throttle else ""
    return f"{job.id}_[{arrays.format_tasks(job.waiting)}{limit}]"


def matching(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """The active records that match scancel's filters."""
    matches = []
    for job in controller.table.live.values():
        own = {
            "name": job.request.name,
            "user": job.request.user,
            "partition": job.request.partition,
            "account": job.request.account,
            "qos": job.request.qos,
            "wckey": job.request.wckey,
            "state": job.state,
        }
        if all(own[key] in values for key, values in message["filters"].items()):
            tasks = [job.task] if job.task is not None else list(job.waiting) or None
            matches.append({"job": job.request.id, "id": job.id, "tasks": tasks})
    return {"found": matches}
