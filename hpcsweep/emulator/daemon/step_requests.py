"""What srun asks of the scheduler: to begin a step, to end it; and which steps run."""

from __future__ import annotations

import time
from typing import Any

from hpcsweep.emulator import hostlist, processes
from hpcsweep.emulator.daemon import steps
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import Job
from hpcsweep.emulator.messages import INVALID_JOB
from hpcsweep.errors import ClusterError

_TOO_MANY = "More processors requested than permitted"


def begin(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Number a step of a running job; srun's process is the parent of its tasks.

    `busy`: where it has to wait for the CPUs of other steps.
    """
    job = controller.table.jobs.get(asked["job"])
    if job is None or job.state != "RUNNING":
        raise ClusterError(INVALID_JOB)
    living = controller.steps.living(job.id)
    free = steps.free_cpus(job, living, overlaps=asked["overlap"])
    if not steps.shares(job, job.places, asked):
        raise ClusterError(_TOO_MANY)
    if not asked["exact"]:  # Slurm 22.05: such a step has all CPUs of its nodes for itself
        free = {name: left for name, left in free.items() if left == job.places[name]}
    shares = steps.shares(job, free, asked)
    if not shares:
        return {"busy": True}
    cpus: dict[str, int] = {
        name: tasks * asked["cpus_per_task"] if asked["exact"] else job.places[name]
        for name, tasks in shares.items()
    }
    srun = processes.find(asked["pid"])
    fields = {key: asked[key] for key in ("name", "ntasks", "line", "pid")}
    fields |= {"cpus": sum(cpus.values()), "nodes": list(shares)}
    number = controller.steps.add(job.id, srun, {} if asked["overlap"] else cpus, fields)
    _record(controller, job, {"step": number} | fields)
    return {
        "step": number,
        "tasks": shares,
        "cpus": cpus,
        "nodes": hostlist.fold(shares),
        "time_scale": controller.settings.time_scale,
    }


def end(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Note that a step is over."""
    job = controller.table.jobs.get(asked["job"])
    if job is not None and not job.is_final:
        controller.steps.remove(job.id, asked["step"])
        controller.steps.use(job.id, asked["user_s"], asked["system_s"])
        fields = {"step": asked["step"], "ended": time.time()}
        fields |= {"user_s": asked["user_s"], "system_s": asked["system_s"]}
        _record(controller, job, fields | {"code": asked["code"], "signal": asked["signal"]})
    return {}


def _record(controller: Controller, job: Job, fields: dict[str, Any]) -> None:
    event = {"e": "step", "at": time.time(), "id": job.id, "restart": job.restart}
    controller.log.append(event | fields)


def running(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The steps that run, of all jobs or those of some ids; the batch script is one."""
    views: list[dict[str, Any]] = []
    for job in controller.table.live.values():
        is_asked = asked["ids"] is None or {job.id, job.request.id} & set(asked["ids"])
        if is_asked and job.state in ("RUNNING", "SUSPENDED", "COMPLETING"):
            views += _views(job, controller.steps.living(job.id))
    for view in views:
        view["node_count"], view["nodes"] = len(view["nodes"]), hostlist.fold(view["nodes"])
    known = {job.id for job in controller.table.jobs.values()} | set(controller.table.requests)
    missing = [one for one in asked["ids"] or [] if one not in known]
    return {"steps": views, "now": time.time(), "missing": missing}


def _views(job: Job, living: list[steps.Step]) -> list[dict[str, Any]]:
    """What the programs show of the steps of one job."""
    request = job.request
    name = f"{request.id}_{job.task}" if job.task is not None else str(job.id)
    of_job = {"job": name, "task": job.task, "uid": request.uid, "user": request.user}
    of_job |= {"partition": request.partition, "job_name": request.name}
    views: list[dict[str, Any]] = []
    if not request.client:
        batch = {"name": "batch", "ntasks": 1, "nodes": [job.node], "pid": job.pid}
        batch |= {"cpus": job.places[job.node], "step": "batch", "started": job.started}
        views.append(of_job | batch)
    return views + [
        of_job | step.about | {"step": str(step.number), "started": step.started} for step in living
    ]
