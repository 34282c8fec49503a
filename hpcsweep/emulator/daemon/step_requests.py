"""Requests of srun: begin and end a step; and the list of running steps."""

from __future__ import annotations

import time
from typing import Any

from hpcsweep.emulator import hostlist, processes
from hpcsweep.emulator.daemon import steps
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import Job, gres_counts
from hpcsweep.emulator.messages import INVALID_GRES, INVALID_JOB
from hpcsweep.errors import ClusterError

_TOO_MANY = "More processors requested than permitted"


def begin(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Begin a step of a running job; srun's process is the parent of its tasks.

    The answer `busy` means that it must wait for the CPUs of other steps.
    """
    job = controller.table.jobs.get(message["job"])
    if job is None or job.state != "RUNNING":
        raise ClusterError(INVALID_JOB)
    living = controller.steps.living(job.id)
    free = steps.free_cpus(job, living, overlaps=message["overlap"])
    if not steps.shares(job, job.places, message):
        raise ClusterError(_TOO_MANY)
    if not message["exact"]:  # Slurm 22.05: such a step gets all CPUs of its nodes exclusively
        free = {name: left for name, left in free.items() if left == job.places[name]}
    shares = steps.shares(job, free, message)
    gpu_count = gres_counts(message["gres"]).get("gpu", 0)
    if any(gpu_count > len(job.gpus.get(name, ())) for name in job.places):
        raise ClusterError(INVALID_GRES)
    numbers = steps.free_gpus(job, living, overlaps=message["overlap"]) if gpu_count else job.gpus
    if not shares or any(gpu_count > len(numbers[name]) for name in shares if gpu_count):
        return {"busy": True}
    gpus = {name: numbers[name][: gpu_count or None] for name in shares if name in numbers}
    cpus: dict[str, int] = {
        name: tasks * message["cpus_per_task"] if message["exact"] else job.places[name]
        for name, tasks in shares.items()
    }
    srun = processes.find(message["pid"])
    fields = {key: message[key] for key in ("name", "ntasks", "line", "pid")}
    fields |= {"cpus": sum(cpus.values()), "nodes": list(shares)}
    number = controller.steps.add(
        job.id,
        srun,
        cpus={} if message["overlap"] else cpus,
        gpus=gpus if gpu_count and not message["overlap"] else {},
        about=fields,
    )
    _record(controller, job, {"step": number} | fields)
    return {
        "step": number,
        "tasks": shares,
        "cpus": cpus,
        "gpus": gpus,
        "nodes": hostlist.fold(shares),
        "time_scale": controller.settings.time_scale,
    }


def end(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """Record the end of a step."""
    job = controller.table.jobs.get(message["job"])
    if job is not None and not job.is_final:
        controller.steps.remove(job.id, message["step"])
        controller.steps.use(job.id, message["user_s"], message["system_s"])
        fields = {"step": message["step"], "ended": time.time()}
        fields |= {"user_s": message["user_s"], "system_s": message["system_s"]}
        _record(controller, job, fields | {"code": message["code"], "signal": message["signal"]})
    return {}


def _record(controller: Controller, job: Job, fields: dict[str, Any]) -> None:
    event = {"e": "step", "at": time.time(), "id": job.id, "restart": job.restart}
    controller.log.append(event | fields)


def running(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """The running steps of all jobs, or of those with some ids; the batch script is a step."""
    views: list[dict[str, Any]] = []
    for job in controller.table.live.values():
        is_selected = message["ids"] is None or {job.id, job.request.id} & set(message["ids"])
        if is_selected and job.state in ("RUNNING", "SUSPENDED", "COMPLETING"):
            views += _views(job, controller.steps.living(job.id))
    for view in views:
        view["node_count"], view["nodes"] = len(view["nodes"]), hostlist.fold(view["nodes"])
    ids = {job.id for job in controller.table.jobs.values()} | set(controller.table.requests)
    missing = [job_id for job_id in message["ids"] or [] if job_id not in ids]
    return {"steps": views, "now": time.time(), "missing": missing}


def _views(job: Job, living: list[steps.RunningStep]) -> list[dict[str, Any]]:
    """The fields of one job's steps that the programs show."""
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
