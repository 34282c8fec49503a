"""The steps of running jobs: their CPUs, and the placement of a new step."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.emulator import hostlist, processes
from hpcsweep.emulator.daemon.pool import distribute
from hpcsweep.emulator.jobs import Job


@dataclass(slots=True)
class RunningStep:
    """A running step: its srun, and its exclusive CPUs and GPUs by node."""

    number: int
    srun: processes.Process | None
    cpus: dict[str, int]
    gpus: dict[str, list[int]]
    # Fields that the programs show: name, ntasks, nodes, cpus.
    about: dict[str, Any]
    started: float


@dataclass(slots=True)
class Steps:
    """The steps of all running jobs, by job id."""

    _running: dict[int, list[RunningStep]] = field(default_factory=dict)
    _begun: Counter[int] = field(default_factory=Counter)
    # Processor time of ended steps, user and system.
    _used: dict[int, tuple[float, float]] = field(default_factory=dict)

    def forget(self, job_id: int) -> None:
        """Remove the steps of an ended job."""
        self._running.pop(job_id, None)
        self._begun.pop(job_id, None)
        self._used.pop(job_id, None)

    def add(
        self,
        job_id: int,
        srun: processes.Process | None,
        cpus: dict[str, int],
        gpus: dict[str, list[int]],
        about: dict[str, Any],
    ) -> int:
        """Add a running step. Returns its number."""
        number = self._begun[job_id]
        self._begun[job_id] += 1
        step = RunningStep(number, srun, cpus, gpus, about, time.time())
        self._running.setdefault(job_id, []).append(step)
        return number

    def remove(self, job_id: int, number: int) -> None:
        """Remove an ended step."""
        steps = self._running.get(job_id, [])
        self._running[job_id] = [step for step in steps if step.number != number]

    def use(self, job_id: int, user_s: float, system_s: float) -> None:
        """Add the processor time of an ended step."""
        before = self._used.get(job_id, (0.0, 0.0))
        self._used[job_id] = (before[0] + user_s, before[1] + system_s)

    def count_usage(self, job: Job, user_s: float, system_s: float) -> None:
        """Set the processor time of a batch script: its shell's, minus that of its steps."""
        steps = self._used.get(job.id, (0.0, 0.0))
        job.user_s, job.system_s = max(0.0, user_s - steps[0]), max(0.0, system_s - steps[1])

    def living(self, job_id: int) -> list[RunningStep]:
        """The running steps; a step whose srun was killed has ended."""
        steps = self._running.get(job_id, [])
        return [step for step in steps if step.srun and processes.is_alive(step.srun)]


def free_cpus(job: Job, others: list[RunningStep], *, overlaps: bool) -> dict[str, int]:
    """The CPUs by node that are free for a step while other steps run."""
    free = dict(job.places)
    if not overlaps:
        for step in others:
            for name, held in step.cpus.items():
                free[name] -= held
    return free


def free_gpus(job: Job, others: list[RunningStep], *, overlaps: bool) -> dict[str, list[int]]:
    """The GPUs by node that are free for a step that names a count of them."""
    held = {
        (name, number)
        for step in others
        if not overlaps
        for name, numbers in step.gpus.items()
        for number in numbers
    }
    return {
        name: [number for number in numbers if (name, number) not in held]
        for name, numbers in job.gpus.items()
    }


def shares(job: Job, free: dict[str, int], message: dict[str, Any]) -> dict[str, int]:
    """The tasks of a step by node; empty if there is no room."""
    required, excluded = hostlist.expand(message["nodelist"]), hostlist.expand(message["exclude"])
    room = {
        name: min(tasks, message["ntasks_per_node"] or tasks)
        for name, cpus in free.items()
        if name not in excluded
        and name in (required or job.places)
        and (
            tasks := message["ntasks"]
            if message["overcommit"]
            else cpus // message["cpus_per_task"]
        )
    }
    least = max(message["nodes"], len(required))
    for count in range(least, len(room) + 1):
        chosen = dict(list(room.items())[:count])
        if sum(chosen.values()) >= message["ntasks"]:
            return distribute(message["ntasks"], chosen)
    return {}
