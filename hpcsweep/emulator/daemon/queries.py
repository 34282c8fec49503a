"""Queries of the programs: the queue, the cluster, a script, the state of accounting."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from hpcsweep.emulator import arrays, hostlist, names
from hpcsweep.emulator.daemon import dependencies, job_files, timelimit
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.jobs import REQUEUED_HELD, Job
from hpcsweep.emulator.messages import INVALID_JOB
from hpcsweep.errors import ClusterError


def queue(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """The jobs in memory: all, or those with some ids (an element also by its array's id)."""
    jobs = list(controller.table.jobs.values())
    if message.get("ids") is not None:
        ids = set(message["ids"])
        jobs = [job for job in jobs if job.id in ids or job.request.id in ids]
    return {"jobs": [view(controller, job) for job in jobs], "now": time.time()}


def view(controller: Controller, job: Job) -> dict[str, Any]:
    """All fields of a job that the programs show."""
    stdout, stderr = job_files.output_paths(job, controller.settings.version)
    return job.request.to_json() | {
        "base": job.request.id,
        "id": job.id,
        "task": job.task,
        "tasks": arrays.format_tasks(job.waiting),
        "throttle": job.throttle,
        "time_limit": job.time_limit,
        "limit_s": timelimit.limit_s(job, controller.settings),
        "limit_at": timelimit.limit_at(job, controller.settings),
        "state": shown_state(job),
        "asked_stderr": job.request.stderr,
        "reason": job.reason,
        "priority": job.priority,
        "restart": job.restart,
        "submitted": job.submitted,
        "begin": job.begin,
        "started": job.started,
        "ended": job.ended,
        "suspended": job.suspended,
        "run_time": job.run_time(time.time()),
        "node": job.node_list,
        "batch_host": job.node if job.node and not job.request.client else "",
        "places": job.places,
        "gpus": job.gpus,
        **{name: _folded(getattr(job.request, name)) for name in ("nodelist", "exclude")},
        "nodes": len(job.places) or controller.pool.nodes_for(job.request),
        # A terminated job shows the exit code of its batch shell here, and 0:0 in sacct.
        "exit_code": job.exit_code or (job.batch_code if job.is_final else 0),
        "exit_signal": job.exit_signal or (job.batch_signal if job.is_final else 0),
        "allocated_mb": job.request.memory_of(job.cpus) or controller.settings.mem_mb,
        "dependency": dependencies.state_of_job(job, controller.table.jobs)[1],
        "cpus": job.cpus,
        "tasks_asked": job.request.tasks,
        "stdout": stdout,
        "stderr": stderr,
    }


def shown_state(job: Job) -> str:
    """The state with its flag, as squeue and scontrol show it of an expedited requeue (26.05)."""
    if job.state != "PENDING":
        return job.state
    if job.request.expedite and job.held == REQUEUED_HELD:
        return "REQUEUE_HOLD"
    return "EXPEDITING" if job.expediting else "PENDING"


def _folded(text: str) -> str:
    """A node list in Slurm's normal form."""
    return hostlist.fold(hostlist.expand(text))


def cluster(controller: Controller, _: dict[str, Any]) -> dict[str, Any]:
    """The configuration and the nodes."""
    pool, settings = controller.pool, controller.settings
    nodes = [
        {
            "name": node.name,
            "state": pool.state(node.name),
            "reason": node.down,
            "since": node.since,
            "free_cpus": node.free_cpus,
            "free_mem_mb": node.free_mem_mb,
        }
        for node in pool.nodes.values()
    ]
    return {
        "config": settings.to_json(),
        "nodes": nodes,
        "booted": controller.timers.started,
        "busy": bool(controller.table.live),
        "states": dict(Counter(job.state for job in controller.table.jobs.values())),
        "next_id": controller.table.last_id + 1,
        "conf": str(controller.state_dir / names.SLURM_CONF),
        "now": time.time(),
    }


def script(controller: Controller, message: dict[str, Any]) -> dict[str, Any]:
    """The batch script of a job in memory."""
    for job in controller.table.jobs.values():
        if message["job"] in (job.id, job.request.id) and not job.request.client:
            text = job_files.read_script(controller.state_dir, job.request.id)
            return {"script": text.decode(errors="surrogateescape")}
    raise ClusterError(INVALID_JOB)


def ping(controller: Controller, _: dict[str, Any]) -> dict[str, Any]:
    """Answer a ping, with the state of accounting."""
    now = time.time()
    late = controller.faults.outage("accounting_late", now)
    return {
        "accounting_down": controller.faults.outage("accounting_down", now) is not None,
        "accounting_late_s": late.seconds if late else 0,
    }
