"""What scontrol changes of a job: its options, its place in the queue, whether it runs on."""

from __future__ import annotations

import dataclasses
import signal
import time
from typing import TYPE_CHECKING, Any

from hpcsweep.emulator.daemon import associations, launch, timelimit
from hpcsweep.errors import ClusterError

if TYPE_CHECKING:
    from hpcsweep.emulator.daemon.controller import Controller
    from hpcsweep.emulator.jobs import Job

_OVER = "Job has already finished"
# Fields of a request that concern a job only until it starts.
_OF_WAITING = frozenset({
    *("partition", "qos", "account", "nice", "priority", "cpus_per_task", "ntasks", "nodes"),
    *("max_nodes", "mem_mb", "mem_per_cpu", "nodelist", "exclude", "constraint", "dependency"),
})  # fmt: skip
_IMMUTABLE = "Job is no longer pending execution"


def update(controller: Controller, job: Job, asked: dict[str, Any]) -> str:
    """`scontrol update`: a new time limit, begin, or fields of the request, which its elements
    share."""
    if job.is_final:
        return _OVER
    changes: dict[str, Any] = asked["fields"]
    if job.state != "PENDING" and _OF_WAITING & set(changes):
        return _IMMUTABLE
    if "partition" in changes and controller.settings.partition(changes["partition"]) is None:
        return "Invalid partition name specified"
    associations.check_names(controller.settings, {"account": "", "qos": "", **changes})
    if "time_limit" in asked:
        now, given = job.time_limit, asked["time_limit"]
        job.new_limit = max(1, now + asked["sign"] * given) if asked["sign"] else given
        timelimit.set_limit(controller, job)
    if "begin" in asked:
        job.begin = asked["begin"]
        controller.wake_at(job.begin)
    if changes:
        controller.replace_request(dataclasses.replace(job.request, **changes))
        if {"nice", "priority"} & set(changes) and not job.held:
            job.priority = controller.usual_priority(job.request)
    controller.record(job)
    return ""


def suspend(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    """Stop what runs; it keeps its place."""
    if job.state == "PENDING":
        return "Job is pending execution"
    if job.state != "RUNNING":
        return _OVER if job.is_final else ""
    controller.signal_all(job, signal.SIGSTOP)
    job.state, job.suspended = "SUSPENDED", time.time()
    controller.record(job)
    return ""


def resume(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    """Let it run on."""
    if job.state != "SUSPENDED":
        return {"PENDING": "Job is pending execution", "RUNNING": "Job is not suspended"}.get(
            job.state, _OVER
        )
    job.suspended_s += time.time() - job.suspended
    job.state, job.suspended = "RUNNING", 0
    controller.signal_all(job, signal.SIGCONT)
    timelimit.set_limit(controller, job)
    controller.record(job)
    return ""


def top(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    """Before all other waiting jobs of its user."""
    if job.state != "PENDING":
        return _OVER if job.is_final else _IMMUTABLE
    if job.held:
        return "Job is in held state, pending scheduler release"
    mine = [one for one in controller.live.values() if one.request.uid == job.request.uid]
    job.priority = max(one.priority for one in mine if one.state == "PENDING") + 1
    controller.record(job)
    return ""


def script(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The batch script of a job that is in memory."""
    for job in controller.jobs.values():
        if asked["job"] in (job.id, job.request.id) and not job.request.client:
            path = launch.submission_dir(controller.state_dir, job.request.id) / "script"
            return {"script": path.read_bytes().decode(errors="surrogateescape")}
    raise ClusterError("Invalid job id specified")
