"""The steps of a job: what srun starts in it, and who gets a signal."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpcsweep.emulator import hostlist, processes
from hpcsweep.emulator.daemon import pool
from hpcsweep.errors import ClusterError

if TYPE_CHECKING:
    from hpcsweep.emulator.daemon.controller import Controller
    from hpcsweep.emulator.jobs import Job

_TOO_MANY = "More processors requested than permitted"


@dataclass(slots=True)
class _Step:
    """One step that runs: its srun, and the CPUs that no other step may have meanwhile."""

    number: int
    srun: processes.Process | None
    cpus: dict[str, int]
    # What is told of it: name, ntasks, nodes, cpus.
    about: dict[str, Any]
    started: float


@dataclass(slots=True)
class Steps:
    """The steps of all running jobs, by job id."""

    _running: dict[int, list[_Step]] = field(default_factory=dict)
    _begun: Counter[int] = field(default_factory=Counter)
    # Processor time of the steps that are over, user and system.
    _used: dict[int, tuple[float, float]] = field(default_factory=dict)

    def forget(self, job_id: int) -> None:
        """The job is over."""
        self._running.pop(job_id, None)
        self._begun.pop(job_id, None)
        self._used.pop(job_id, None)

    def add(
        self,
        job_id: int,
        srun: processes.Process | None,
        cpus: dict[str, int],
        about: dict[str, Any],
    ) -> int:
        """The number of a new step."""
        number = self._begun[job_id]
        self._begun[job_id] += 1
        step = _Step(number, srun, cpus, about, time.time())
        self._running.setdefault(job_id, []).append(step)
        return number

    def remove(self, job_id: int, number: int) -> None:
        """A step is over."""
        steps = self._running.get(job_id, [])
        self._running[job_id] = [one for one in steps if one.number != number]

    def use(self, job_id: int, user_s: float, system_s: float) -> None:
        """A step used so much processor time."""
        before = self._used.get(job_id, (0.0, 0.0))
        self._used[job_id] = (before[0] + user_s, before[1] + system_s)

    def count_usage(self, job: Job, user_s: float, system_s: float) -> None:
        """What the batch shell and its children used, less what was its steps' own."""
        steps = self._used.get(job.id, (0.0, 0.0))
        job.user_s, job.system_s = max(0.0, user_s - steps[0]), max(0.0, system_s - steps[1])

    def living(self, job_id: int) -> list[_Step]:
        """The steps that run; one whose srun was killed is none any more."""
        steps = self._running.get(job_id, [])
        return [one for one in steps if one.srun and processes.is_alive(one.srun)]


def begin(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """Number a step of a running job; srun's process is the parent of its tasks.

    `busy`: where it has to wait for the CPUs of other steps.
    """
    job = controller.jobs.get(asked["job"])
    if job is None or job.state != "RUNNING":
        raise ClusterError("Invalid job id specified")
    free = dict(job.places)
    if not asked["overlap"]:
        for one in controller.steps.living(job.id):
            for name, held in one.cpus.items():
                free[name] -= held
    if not _shares(job, job.places, asked):
        raise ClusterError(_TOO_MANY)
    if not asked["exact"]:  # Slurm 22.05: such a step has all CPUs of its nodes for itself
        free = {name: left for name, left in free.items() if left == job.places[name]}
    shares = _shares(job, free, asked)
    if not shares:
        return {"busy": True}
    cpus: dict[str, int] = {
        name: tasks * asked["cpus_per_task"] if asked["exact"] else job.places[name]
        for name, tasks in shares.items()
    }
    srun = processes.look(asked["pid"])
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


def _shares(job: Job, free: dict[str, int], asked: dict[str, Any]) -> dict[str, int]:
    """The tasks of a step by node; empty where there is no room for them."""
    wanted, excluded = hostlist.expand(asked["nodelist"]), hostlist.expand(asked["exclude"])
    room = {
        name: min(tasks, asked["ntasks_per_node"] or tasks)
        for name, cpus in free.items()
        if name not in excluded
        and name in (wanted or job.places)
        and (tasks := asked["ntasks"] if asked["overcommit"] else cpus // asked["cpus_per_task"])
    }
    least = max(asked["nodes"], len(wanted))
    for count in range(least, len(room) + 1):
        chosen = dict(list(room.items())[:count])
        if sum(chosen.values()) >= asked["ntasks"]:
            return pool.spread(asked["ntasks"], chosen)
    return {}


def end(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """A step is over."""
    job = controller.jobs.get(asked["job"])
    if job is not None and not job.is_final:
        controller.steps.remove(job.id, asked["step"])
        controller.steps.use(job.id, asked["user_s"], asked["system_s"])
        fields = {"step": asked["step"], "ended": time.time()}
        fields |= {"user_s": asked["user_s"], "system_s": asked["system_s"]}
        _record(controller, job, fields | {"code": asked["code"], "signal": asked["signal"]})
    return {}


def running(controller: Controller, asked: dict[str, Any]) -> dict[str, Any]:
    """The steps that run, of all jobs or those of some ids; the batch script is one."""
    found: list[dict[str, Any]] = []
    for job in controller.live.values():
        if asked["ids"] is not None and not {job.id, job.request.id} & set(asked["ids"]):
            continue
        if job.state not in ("RUNNING", "SUSPENDED", "COMPLETING"):
            continue
        name = f"{job.request.id}_{job.task}" if job.task is not None else str(job.id)
        request = job.request
        of_job = {"job": name, "task": job.task, "uid": request.uid, "user": request.user}
        of_job |= {"partition": request.partition, "job_name": request.name}
        steps = controller.steps.living(job.id)
        if not request.client:
            batch = {"name": "batch", "ntasks": 1, "nodes": [job.node], "pid": job.pid}
            batch |= {"cpus": job.places[job.node], "step": "batch", "started": job.started}
            found.append(of_job | batch)
        found += [
            of_job | one.about | {"step": str(one.number), "started": one.started} for one in steps
        ]
    for one in found:
        one["node_count"], one["nodes"] = len(one["nodes"]), hostlist.fold(one["nodes"])
    known = {job.id for job in controller.jobs.values()} | set(controller.requests)
    missing = [one for one in asked["ids"] or [] if one not in known]
    return {"steps": found, "now": time.time(), "missing": missing}


def _record(controller: Controller, job: Job, fields: dict[str, Any]) -> None:
    event = {"e": "step", "at": time.time(), "id": job.id, "restart": job.restart}
    controller.log.append(event | fields)


def send(controller: Controller, job: Job, *signals: int) -> None:
    """Send signals to the processes of all steps: neither to srun nor to the batch script."""
    for step in controller.steps.living(job.id):
        if step.srun:
            processes.send(processes.below(step.srun), *signals)


def warn(controller: Controller, job: Job) -> None:
    """--signal: with `B:` to the batch shell alone, otherwise to the steps alone."""
    request = job.request
    if job.state != "RUNNING" or not request.signal:
        return
    if request.signal_batch:
        controller.signal_shell(job, signal.SIGCONT, request.signal)
    else:
        send(controller, job, signal.SIGCONT, request.signal)
