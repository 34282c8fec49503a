"""What the programs ask of the scheduler, verb by verb: plain JSON in, plain JSON out."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from hpcsweep.emulator import arrays, config, dependencies, hostlist, names
from hpcsweep.emulator.daemon import allocations, launch, recovery, steps, updates
from hpcsweep.emulator.daemon.admission import refused, submit
from hpcsweep.emulator.daemon.controller import Controller
from hpcsweep.emulator.faults import orders
from hpcsweep.emulator.jobs import REQUEUED_HELD, Job
from hpcsweep.errors import HpcsweepError

# What people ask of the emulator itself, whatever its Slurm suffers.
_UNFAILING = ("alive", "fault", "reconfigure")

INVALID_JOB = "Invalid job id specified"
ALREADY_OVER = "Job/step already completing or completed"


def answer(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to one program's question."""
    service = controller.faults
    if asked["do"] not in _UNFAILING and service.away("controller_down"):
        return {"away": True}
    verb = VERBS.get(asked["do"])
    if verb is None:
        return {"error": f"unknown request {asked['do']!r}"}
    slow = service.away("controller_slow")
    try:
        return verb(controller, asked) | ({"delay": slow.delay_s} if slow else {})
    except HpcsweepError as no:  # a transient one makes sbatch try again for two minutes
        return {"error": no.what, "detail": no.where, "again": no.transient}


# -- squeue and scontrol show ------------------------------------------------------------------


def queue(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The jobs in memory, all or those of some ids (elements are found by their array)."""
    jobs = list(controller.jobs.values())
    if asked.get("ids") is not None:
        ids = set(asked["ids"])
        jobs = [job for job in jobs if job.id in ids or job.request.id in ids]
    return {"jobs": [view(controller, job) for job in jobs], "now": time.time()}


def view(controller: Controller, job: Job) -> dict[str, Any]:
    """All that the programs show of a job."""
    stdout, stderr = launch.output_paths(job)
    return job.request.to_json() | {
        "base": job.request.id,
        "id": job.id,
        "task": job.task,
        "tasks": arrays.format_tasks(job.waiting),
        "throttle": job.throttle,
        "time_limit": job.time_limit,
        "state": job.state,
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
        **{name: _folded(getattr(job.request, name)) for name in ("nodelist", "exclude")},
        "nodes": len(job.places) or controller.pool.nodes_for(job.request),
        # What was ended from outside shows the batch shell's own end here, and 0:0 in sacct.
        "exit_code": job.exit_code or (job.batch_code if job.is_final else 0),
        "exit_signal": job.exit_signal or (job.batch_signal if job.is_final else 0),
        "allocated_mb": job.request.memory_of(job.cpus) or controller.settings.mem_mb,
        "dependency": dependencies.state(job, controller.jobs)[1],
        "cpus": job.cpus,
        "tasks_asked": job.request.tasks,
        "stdout": stdout,
        "stderr": stderr,
    }


def _folded(text: str) -> str:
    """A list of nodes as Slurm shows it, however it was given."""
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
        "busy": controller.is_busy,
        "states": dict(Counter(job.state for job in controller.jobs.values())),
        "next_id": controller.last_id + 1,
        "conf": str(controller.state_dir / names.SLURM_CONF),
        "now": time.time(),
    }


# -- scancel and scontrol ----------------------------------------------------------------------

# A record of the queue and, of an array's remainder, the elements that are meant.
Target = tuple[Job, set[int]]


def targets(controller: Controller, job_id: int, tasks: list[int] | None) -> list[Target]:
    """The records that `J` or `J_[1-3]` means; a raw id of an element means that element."""
    found: list[Target] = []
    for job in controller.jobs.values():
        if tasks is None and job_id in (job.request.id, job.id):
            found.append((job, set(job.waiting)))
        elif tasks is not None and job.request.id == job_id:
            if job.task in tasks:
                found.append((job, set()))
            elif chosen := set(tasks).intersection(job.waiting):
                found.append((job, chosen))
    return found


def cancel(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """End or signal one target; `transitional` makes scancel ask again, as in Slurm."""
    found = targets(controller, asked["job"], asked["tasks"])
    living = [(job, tasks) for job, tasks in found if not job.is_final]
    if not living:
        raise refused(ALREADY_OVER if found else INVALID_JOB)
    number = asked["signal"]
    if number not in (None, signal.SIGKILL):
        return _signal(controller, living, number, asked)
    for job, tasks in living:
        if job.state != "PENDING":
            controller.kill(job, "CANCELLED", "None", by=asked["uid"])
        elif tasks == set(job.waiting):
            controller.cancel_waiting(job, by=asked["uid"])
        else:
            controller.drop(job, tasks)
    controller.log.sync()
    return {}


def _signal(
    controller: Controller, living: list[Target], number: int, asked: dict[str, Any]
) -> dict[str, Any]:
    for job, _ in living:
        if job.state == "RUNNING" and asked["batch"]:
            controller.signal_shell(job, number)
        elif job.state == "RUNNING" and asked["full"]:
            controller.signal_all(job, number)
        elif job.state == "RUNNING":
            steps.send(controller, job, number)
    pending = [job for job, _ in living if job.state == "PENDING"]
    arrays_waiting = {one.request.id for one in controller.live.values() if one.is_remainder}
    if pending or any(job.request.id in arrays_waiting for job, _ in living):
        shown = _shown(pending[0] if pending else living[0][0])
        return {"transitional": True, "shown": shown, "scale": controller.settings.time_scale}
    return {}


def _shown(job: Job) -> str:
    """The job as scancel's messages name it."""
    if job.task is not None:
        return f"{job.request.id}_{job.task}"
    if not job.waiting:
        return str(job.id)
    limit = f"%{job.throttle}" if job.throttle else ""
    return f"{job.id}_[{arrays.format_tasks(job.waiting)}{limit}]"


def matching(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Records that are not over and pass scancel's filters."""
    found = []
    for job in controller.live.values():
        mine = {
            "name": job.request.name,
            "user": job.request.user,
            "partition": job.request.partition,
            "account": job.request.account,
            "qos": job.request.qos,
            "wckey": job.request.wckey,
            "state": job.state,
        }
        if all(mine[key] in values for key, values in asked["filters"].items()):
            tasks = [job.task] if job.task is not None else list(job.waiting) or None
            found.append({"job": job.request.id, "id": job.id, "tasks": tasks})
    return {"found": found}


def change(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """hold, uhold, release, requeue or throttle for one target; per record what went wrong."""
    found = targets(controller, asked["job"], asked["tasks"])
    if not found:
        raise refused(INVALID_JOB)
    action = CHANGES[asked["change"]]
    results = []
    for job, tasks in found:
        shown = [job.task] if job.task is not None else list(job.waiting)
        chosen = [job]
        if tasks != set(job.waiting) and asked["change"] in _SPLITTING:
            shown = sorted(tasks)
            chosen = [controller.split(job, task) for task in shown]
        errors = [action(controller, one, asked) for one in chosen]
        results.append({"tasks": shown, "error": errors[0], "array": bool(job.request.array)})
    controller.is_dirty = True
    controller.log.sync()
    return {"results": results}


def _hold(controller: Controller, job: Job, asked: dict[str, Any]) -> str:
    if job.is_final:
        return "Job has already finished"
    by_admin = asked["change"] == "hold" and asked["uid"] == 0
    job.held = "JobHeldAdmin" if by_admin else "JobHeldUser"
    job.reason, job.priority = job.held, 0
    controller.record(job)
    return ""


def _release(controller: Controller, job: Job, _: dict[str, Any]) -> str:
    if job.is_final:
        return "Job has already finished"
    if job.held:
        job.held, job.reason = "", "None"
        job.priority = controller.next_priority()
        controller.record(job)
    return ""


def _requeue(controller: Controller, job: Job, asked: dict[str, Any]) -> str:
    if job.state == "PENDING":
        return "Job is pending execution"
    if not job.request.requeue:
        return "Requested operation is presently disabled"
    if job.state == "COMPLETING":
        return "Requested operation is presently disabled"
    if asked["change"] == "requeuehold":
        job.held = REQUEUED_HELD
    if job.is_final:
        job.state = "REQUEUED"  # what accounting says of the run that was over
        controller.record(job)
        controller.run_again(job)
    else:
        controller.kill(job, "REQUEUED", "None", " DUE TO JOB REQUEUE")
    return ""


def _throttle(controller: Controller, job: Job, asked: dict[str, Any]) -> str:
    if not job.is_final:
        job.throttle = asked["value"]
        controller.record(job)
    return "Job has already finished" if job.is_final else ""


def update_node(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """A node goes down or comes back."""
    for name in asked["nodes"]:
        if name not in controller.pool.nodes:
            raise refused("Invalid node name specified")
        recovery.node_down(controller, name, asked["down"])
    controller.log.sync()
    return {}


def reconfigure(controller: Controller, _: dict[str, Any]) -> dict[str, Any]:
    """Read the configuration again; nodes only grow, and jobs go on."""
    controller.settings = config.load(controller.state_dir)
    controller.pool.grow(controller.settings)
    controller.is_dirty = True
    return {}


def ping(controller: Controller, _: dict[str, Any]) -> dict[str, Any]:
    """It lives; how accounting is."""
    late = controller.faults.away("accounting_late")
    return {
        "accounting_down": controller.faults.away("accounting_down") is not None,
        "accounting_late_s": late.seconds if late else 0,
    }


# These concern some elements of an array and not the rest of it.
_SPLITTING = ("hold", "uhold", "release")
CHANGES: dict[str, Callable[[Controller, Job, dict[str, Any]], str]] = {
    "hold": _hold,
    "uhold": _hold,
    "release": _release,
    "requeue": _requeue,
    "requeuehold": _requeue,
    "throttle": _throttle,
    "suspend": updates.suspend,
    "resume": updates.resume,
    "top": updates.top,
    "update": updates.update,
}
VERBS: dict[str, Callable[[Controller, dict[str, Any]], dict[str, Any]]] = {
    "ping": ping,
    "submit": submit,
    "queue": queue,
    "cluster": cluster,
    "cancel": cancel,
    "matching": matching,
    "change": change,
    "update_node": update_node,
    "reconfigure": reconfigure,
    "alive": ping,
    "fault": orders.order,
    "allocation": allocations.look,
    "allocation_end": allocations.end,
    "script": updates.script,
    "steps": steps.running,
    "step_begin": steps.begin,
    "step_end": steps.end,
}
