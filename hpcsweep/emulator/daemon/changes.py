"""Changes of a job by scontrol: hold, requeue, options, suspend, priority."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable
from typing import Any

from hpcsweep.emulator.daemon import associations, signals
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import REQUEUED_HELD, Job
from hpcsweep.emulator.messages import INVALID_JOB, INVALID_PARTITION
from hpcsweep.errors import ClusterError

_OVER = "Job has already finished"
_PENDING = "Job is pending execution"
_NOT_PENDING = "Job is no longer pending execution"
_DISABLED = "Requested operation is presently disabled"
# Fields of a request that may change only while the job is pending.
_OF_WAITING = frozenset(
    (
        "partition",
        "qos",
        "account",
        "nice",
        "priority",
        "cpus_per_task",
        "ntasks",
        "nodes",
        "max_nodes",
        "mem_mb",
        "mem_per_cpu",
        "nodelist",
        "exclude",
        "constraint",
        "dependency",
    )
)


def _hold(controller: Controller, job: Job, message: dict[str, Any]) -> str:
    if job.is_final:
        return _OVER
    by_admin = message["change"] == "hold" and message["uid"] == 0
    job.held = "JobHeldAdmin" if by_admin else "JobHeldUser"
    job.reason, job.priority = job.held, 0
    controller.table.record(job)
    return ""


def _release(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    if job.is_final:
        return _OVER
    if job.held:
        job.held, job.reason = "", "None"
        job.priority = controller.table.lowest_priority()
        controller.table.record(job)
    return ""


def _requeue(controller: Controller, job: Job, message: dict[str, Any]) -> str:
    if job.state == "PENDING":
        return _PENDING
    if not job.request.requeue or job.state == "COMPLETING":
        return _DISABLED
    if message["change"] == "requeuehold":
        job.held = REQUEUED_HELD
    if job.is_final:
        if not controller.settings.version.since("26.05"):
            job.state = "REQUEUED"  # accounting's state of the run that had ended
            controller.table.record(job)
        controller.requeue(job)
    else:
        controller.kill(job, "REQUEUED", "None", " DUE TO JOB REQUEUE")
    return ""


def _throttle(controller: Controller, job: Job, message: dict[str, Any]) -> str:
    if not job.is_final:
        job.throttle = message["value"]
        controller.table.record(job)
    return _OVER if job.is_final else ""


def _update(controller: Controller, job: Job, message: dict[str, Any]) -> str:
    """Change the time limit, the begin, or fields of the request that all elements share."""
    if job.is_final:
        return _OVER
    changes: dict[str, Any] = message["fields"]
    if job.state != "PENDING" and _OF_WAITING & set(changes):
        return _NOT_PENDING
    if "partition" in changes and controller.settings.partition(changes["partition"]) is None:
        return INVALID_PARTITION
    account, qos = changes.get("account", ""), changes.get("qos", "")
    associations.check_names(controller.settings, account, qos)
    if "time_limit" in message:
        now, given = job.time_limit, message["time_limit"]
        job.new_limit = max(1, now + message["sign"] * given) if message["sign"] else given
        controller.watch_time(job)
    if "begin" in message:
        job.begin = message["begin"]
        controller.wake_at(job.begin)
    if changes:
        controller.table.replace_request(dataclasses.replace(job.request, **changes))
        if {"nice", "priority"} & set(changes) and not job.held:
            job.priority = controller.table.usual_priority(job.request)
    controller.table.record(job)
    return ""


def _suspend(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    """Stop the processes of a job; it keeps its resources."""
    if job.state == "PENDING":
        return _PENDING
    if job.state != "RUNNING":
        return _OVER if job.is_final else ""
    signals.send_to_all(job, signal.SIGSTOP)
    job.state, job.suspended = "SUSPENDED", time.time()
    controller.table.record(job)
    return ""


def _resume(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    """Continue a suspended job."""
    if job.state != "SUSPENDED":
        return {"PENDING": _PENDING, "RUNNING": "Job is not suspended"}.get(job.state, _OVER)
    job.suspended_s += time.time() - job.suspended
    job.state, job.suspended = "RUNNING", 0
    signals.send_to_all(job, signal.SIGCONT)
    controller.watch_time(job)
    controller.table.record(job)
    return ""


def _top(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    """Move a job before all other pending jobs of its user."""
    if job.state != "PENDING":
        return _OVER if job.is_final else _NOT_PENDING
    if job.held:
        return "Job is in held state, pending scheduler release"
    own = [
        other for other in controller.table.live.values() if other.request.uid == job.request.uid
    ]
    job.priority = max(other.priority for other in own if other.state == "PENDING") + 1
    controller.table.record(job)
    return ""


# Changes for which the selected elements are split off their array.
_SPLITTING = ("hold", "uhold", "release")
# Each returns Slurm's error message; empty on success.
CHANGES: dict[str, Callable[[Controller, Job, dict[str, Any]], str]] = {
    "hold": _hold,
    "uhold": _hold,
    "release": _release,
    "requeue": _requeue,
    "requeuehold": _requeue,
    "throttle": _throttle,
    "suspend": _suspend,
    "resume": _resume,
    "top": _top,
    "update": _update,
}


def change(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Apply one of CHANGES to one target; the answer has the error of each record."""
    targets = controller.table.named(message["job"], message["tasks"])
    if not targets:
        raise ClusterError(INVALID_JOB)
    action = CHANGES[message["change"]]
    results = []
    for job, tasks in targets:
        shown = [job.task] if job.task is not None else list(job.waiting)
        chosen = [job]
        if tasks != set(job.waiting) and message["change"] in _SPLITTING:
            shown = sorted(tasks)
            chosen = [controller.table.split(job, task) for task in shown]
        errors = [action(controller, target, message) for target in chosen]
        results.append({"tasks": shown, "error": errors[0], "array": bool(job.request.array)})
    controller.is_dirty = True
    controller.log.sync()
    return {"results": results}
