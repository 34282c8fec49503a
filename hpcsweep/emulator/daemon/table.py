"""The table of jobs in memory, which logs its changes."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, deque

from hpcsweep.emulator import arrays
from hpcsweep.emulator.events import EventLog
from hpcsweep.emulator.jobs import Job, JobRequest
from hpcsweep.emulator.logged_state import LoggedState

# The priority of the first job of a cluster with priority/basic (Slurm 22.05).
_FIRST_PRIORITY = 4294901759
# A record of the queue, and the selected elements of an array's remainder.
Target = tuple[Job, set[int]]


class JobTable:
    """The jobs that the scheduler knows: active and recently ended ones."""

    def __init__(self, logged: LoggedState, log: EventLog, *, first_job_id: int) -> None:
        self.jobs = logged.jobs
        self.requests = logged.requests
        self.last_id = max(logged.last_id, first_job_id - 1)
        # The active ones of `jobs`.
        self.live = {job.id: job for job in self.jobs.values() if not job.is_final}
        self._log = log
        self._first_job_id = first_job_id
        # Count of records in `jobs`, by base id.
        self._records = Counter(job.request.id for job in self.jobs.values())
        self._releases = 0

    @property
    def pending(self) -> list[Job]:
        """The pending jobs."""
        return [job for job in self.live.values() if job.state == "PENDING"]

    @property
    def occupying(self) -> list[Job]:
        """The jobs that have nodes."""
        return [job for job in self.live.values() if job.state != "PENDING"]

    def named(self, job_id: int, tasks: list[int] | None) -> list[Target]:
        """The records that `J` or `J_[1-3]` selects; an element's raw id selects that element."""
        targets: list[Target] = []
        for job in self.jobs.values():
            if tasks is None and job_id in (job.request.id, job.id):
                targets.append((job, set(job.waiting)))
            elif tasks is not None and job.request.id == job_id:
                if job.task in tasks:
                    targets.append((job, set()))
                elif chosen := set(tasks).intersection(job.waiting):
                    targets.append((job, chosen))
        return targets

    def count(self) -> int:
        """Count of jobs in memory, with each element of an array; MaxJobCount limits it."""
        return sum(job.elements for job in self.jobs.values())

    def new_id(self) -> int:
        """A new job id."""
        self.last_id += 1
        return self.last_id

    def usual_priority(self, request: JobRequest) -> int:
        """The priority of a new job: first come, first served, unless --priority or --nice."""
        place = request.id - self._first_job_id
        return request.priority or _FIRST_PRIORITY - place - request.nice

    def lowest_priority(self) -> int:
        """A priority below all jobs so far, like after Slurm's release."""
        self._releases += 1
        return _FIRST_PRIORITY - (self.last_id - self._first_job_id) - self._releases

    def add(self, job: Job) -> None:
        """Add a new job with its request. *Writes* the event log, durably."""
        request = job.request
        self._log.append({"e": "request", "request": request.to_json()}, job.event(time.time()))
        self._log.sync()
        self.requests[request.id] = request
        self.insert(job)

    def insert(self, job: Job) -> None:
        """Add an element of an array, or a new run of an ended job."""
        if job.id not in self.jobs:
            self._records[job.request.id] += 1
        self.jobs[job.id] = self.live[job.id] = job

    def replace_request(self, request: JobRequest) -> None:
        """Replace the request of a job and all of its elements. *Writes* the event log."""
        self._log.append({"e": "request", "request": request.to_json()})
        self.requests[request.id] = request
        for job in self.jobs.values():
            if job.request.id == request.id:
                job.request = request
                self.record(job)

    def record(self, job: Job) -> None:
        """*Writes* the job's state to the event log."""
        self._log.append(job.event(time.time()))

    def split(self, job: Job, task: int) -> Job:
        """Split a pending element off its array; the last one keeps the array's base id."""
        job.waiting.remove(task)
        new_id = self.new_id() if job.waiting else job.id
        element = dataclasses.replace(job, id=new_id, task=task, waiting=deque())
        self.insert(element)
        return element

    def drop(self, job: Job, tasks: set[int]) -> None:
        """Remove pending elements of an array, which leave no trace (like in Slurm).

        *Writes* the event log.
        """
        job.waiting = deque(task for task in job.waiting if task not in tasks)
        self._log.append({"e": "drop", "id": job.id, "tasks": arrays.format_ids(sorted(tasks))})

    def end(self, job: Job) -> None:
        """Record the end of a run, whose final state is set. *Writes* the event log."""
        self.record(job)
        del self.live[job.id]

    def forget(self, job: Job) -> bool:
        """Remove an ended job. Returns whether it was the last one of its request."""
        if self.jobs.get(job.id) is not job:
            return False  # it was requeued meanwhile
        del self.jobs[job.id]
        base = job.request.id
        self._records[base] -= 1
        if self._records[base]:
            return False
        del self._records[base], self.requests[base]
        return True
