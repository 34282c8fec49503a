"""The steps of running jobs: the CPUs that they have, and the nodes that a new one gets."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.emulator import hostlist, processes
from hpcsweep.emulator.daemon.pool import distribute
from hpcsweep.emulator.jobs import Job


@dataclass(slots=True)
class Step:
    """One step that runs: its srun, and the CPUs that no other step may have meanwhile."""

    number: int
    srun: processes.Process | None
    cpus: dict[str, int]
    # What the programs show of it: name, ntasks, nodes, cpus.
    about: dict[str, Any]
    started: float


@dataclass(slots=True)
class Steps:
    """The steps of all running jobs, by job id."""

    _running: dict[int, list[Step]] = field(default_factory=dict)
    _begun: Counter[int] = field(default_factory=Counter)
    # Processor time of the steps that are over, user and system.
    _used: dict[int, tuple[float, float]] = field(default_factory=dict)

    def forget(self, job_id: int) -> None:
        """Forget the steps of a job that is over."""
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
        """Add a step that runs; its number."""
        number = self._begun[job_id]
        self._begun[job_id] += 1
        step = Step(number, srun, cpus, about, time.time())
        self._running.setdefault(job_id, []).append(step)
        return number

    def remove(self, job_id: int, number: int) -> None:
        """Note that a step is over."""
        steps = self._running.get(job_id, [])
        self._running[job_id] = [one for one in steps if one.number != number]

    def use(self, job_id: int, user_s: float, system_s: float) -> None:
        """Count the processor time of a step that is over."""
        before = self._used.get(job_id, (0.0, 0.0))
        self._used[job_id] = (before[0] + user_s, before[1] + system_s)

    def count_usage(self, job: Job, user_s: float, system_s: float) -> None:
        """Set the processor time of a batch script: what its shell has, less what its steps had."""
        steps = self._used.get(job.id, (0.0, 0.0))
        job.user_s, job.system_s = max(0.0, user_s - steps[0]), max(0.0, system_s - steps[1])

    def living(self, job_id: int) -> list[Step]:
        """The steps that run; one whose srun was killed is over."""
        steps = self._running.get(job_id, [])
        return [one for one in steps if one.srun and processes.is_alive(one.srun)]


def free_cpus(job: Job, others: list[Step], *, overlaps: bool) -> dict[str, int]:
    """The CPUs by node that a step of the job may have while those other steps run."""
    free = dict(job.places)
    if not overlaps:
        for step in others:
            for name, held in step.cpus.items():
                free[name] -= held
    return free


def shares(job: Job, free: dict[str, int], asked: dict[str, Any]) -> dict[str, int]:
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
            return distribute(asked["ntasks"], chosen)
    return {}
