"""Scheduling: the order in which jobs start, and the pending reason of each.

First come, first served by partition tier; without backfill, a job that does not fit blocks those
behind it in its partition.
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
class StartJob:
    """Start a job, or the element `task` of an array's remainder, with these CPUs by node."""

    job: Job
    task: int | None
    places: dict[str, int]


@dataclass(frozen=True, slots=True)
class PreemptJob:
    """Preempt a running job to make room for another one."""

    job: Job


@dataclass(frozen=True, slots=True)
class KeepPending:
    """Keep a job pending; `reason` is the one in squeue."""

    job: Job
    reason: str


Decision = StartJob | PreemptJob | KeepPending


def decisions(
    table: JobTable, pool: Pool, settings: EmulatorConfig, preempting: Collection[int]
) -> Iterator[Decision]:
    """The decisions about the pending jobs, in order.

    Execute each decision before you take the next one: the next one depends on the state of table
    and pool. `preempting`: ids of jobs that are being preempted already.
    """
    return _Pass(table, pool, settings, preempting).decisions()


class _Pass:
    """One pass over the pending jobs."""

    def __init__(
        self, table: JobTable, pool: Pool, settings: EmulatorConfig, preempting: Collection[int]
    ) -> None:
        self._table = table
        self._pool = pool
        self._settings = settings
        self._preempting = preempting
        # Partitions in which a job of this pass did not fit.
        self._blocked: set[str] = set()

    def decisions(self) -> Iterator[Decision]:
        """A `StartJob` for each job or element that can start, and a `KeepPending` for the rest."""
        for job in sorted(self._table.pending, key=self._rank):
            reason = yield from self._starts(job)
            yield KeepPending(job, reason)

    def _rank(self, job: Job) -> tuple[bool, int, int, int]:
        tier = self._settings.tier(job.request.partition)
        return not job.expediting, -tier, -job.priority, job.id

    def _starts(self, job: Job) -> Generator[Decision, None, str]:
        """Start the job, or as many elements as possible. Returns the rest's pending reason."""
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
                    yield PreemptJob(victim)
                return "Resources"
            is_last = len(job.waiting) <= 1
            jobs = self._table.jobs
            task = dependencies.ready_task(job, jobs) if job.is_remainder else None
            yield StartJob(job, task, places)
            if is_last:
                break
            obstacle = dependencies.obstacle(job, jobs)
        return obstacle or "None"

    def _obstacle(self, job: Job) -> str:
        """The reason why the job may not start, regardless of free resources; empty if it may."""
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
        """The limit that keeps the next element from starting; empty if there is none."""
        if job.request.partition in self._blocked:
            return "Priority"
        if job.throttle and self._pool.elements[job.request.id] >= job.throttle:
            return "JobArrayTaskLimit"
        return associations.start_obstacle(self._settings, job, self._table.occupying)
