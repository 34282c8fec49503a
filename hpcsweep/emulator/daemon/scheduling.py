"""The order in which jobs start, and the reason for which each one waits.

First come, first served by partition tier; a job that finds no room blocks those behind it in its
partition, as there is no backfill.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass

from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon import associations, dependencies, preemption
from hpcsweep.emulator.daemon.pool import Pool
from hpcsweep.emulator.daemon.table import JobTable
from hpcsweep.emulator.jobs import Job


@dataclass(frozen=True, slots=True)
class Start:
    """Start a job, or the element `task` of an array's remainder, with these CPUs by node."""

    job: Job
    task: int | None
    places: dict[str, int]


@dataclass(frozen=True, slots=True)
class Preempt:
    """End a running job, so that another one finds room."""

    job: Job


@dataclass(frozen=True, slots=True)
class Wait:
    """Let a job wait; `reason` is what squeue shows."""

    job: Job
    reason: str


Decision = Start | Preempt | Wait


def decisions(
    table: JobTable, pool: Pool, settings: EmulatorConfig, preempting: Collection[int]
) -> Iterator[Decision]:
    """What to do with the waiting jobs now, in order.

    Each decision has to be carried out before the next one is taken: it is made from the table and
    the pool as they are then. `preempting`: ids of jobs that leave already.
    """
    return _Pass(table, pool, settings, preempting).decisions()


class _Pass:
    """One pass over the waiting jobs."""

    def __init__(
        self, table: JobTable, pool: Pool, settings: EmulatorConfig, preempting: Collection[int]
    ) -> None:
        self._table = table
        self._pool = pool
        self._settings = settings
        self._preempting = preempting
        # Partitions in which a job of this pass found no room.
        self._blocked: set[str] = set()

    def decisions(self) -> Iterator[Decision]:
        """A `Start` for each job or element that can start, and a `Wait` for what remains."""
        for job in sorted(self._table.pending, key=self._rank):
            reason = yield from self._starts(job)
            yield Wait(job, reason)

    def _rank(self, job: Job) -> tuple[int, int, int]:
        return -self._settings.tier(job.request.partition), -job.priority, job.id

    def _starts(self, job: Job) -> Generator[Decision, None, str]:
        """Start the job, or as many of its elements as can; returns why the rest waits."""
        obstacle = self._obstacle(job)
        while not obstacle:
            if limit := self._limit(job):
                return limit
            places = self._pool.find_places(job.request)
            if not places:
                self._blocked.add(job.request.partition)
                for victim in preemption.choose_victims(
                    job, self._table.occupying, self._preempting, self._pool, self._settings
                ):
                    yield Preempt(victim)
                return "Resources"
            is_last = len(job.waiting) <= 1
            jobs = self._table.jobs
            task = dependencies.ready_task(job, jobs) if job.is_remainder else None
            yield Start(job, task, places)
            if is_last:
                break
            obstacle = dependencies.obstacle(job, jobs)
        return obstacle or "None"

    def _obstacle(self, job: Job) -> str:
        """Why the job may not start whatever is free; empty where it may."""
        if job.held:
            return job.held
        if obstacle := dependencies.obstacle(job, self._table.jobs):
            return obstacle
        now = time.time()
        if job.begin > now:
            return "BeginTime"
        if job.submitted + self._settings.start_delay_s > now:
            return "None"
        return self._pool.misfit(job.request) or self._partition_obstacle(job)

    def _partition_obstacle(self, job: Job) -> str:
        partition = self._settings.partition(job.request.partition)
        if partition is None or partition.state != "UP":
            return "PartitionDown"
        if partition.max_time and not 0 < job.time_limit <= partition.max_time:
            return "PartitionTimeLimit"
        return ""

    def _limit(self, job: Job) -> str:
        """What keeps the next element from starting although it may; empty where nothing does."""
        if job.request.partition in self._blocked:
            return "Priority"
        if job.throttle and self._pool.elements[job.request.id] >= job.throttle:
            return "JobArrayTaskLimit"
        return associations.start_obstacle(self._settings, job, self._table.occupying)
