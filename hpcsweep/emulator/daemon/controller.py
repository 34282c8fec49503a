"""The scheduler's decisions: who starts where, how jobs end, what is remembered of it.

No sockets here and no waiting: `loop` calls `schedule` and `reap` when something happened, and
`timers.run` when something is due.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections import Counter, deque
from pathlib import Path

from hpcsweep import files
from hpcsweep.emulator import arrays, config, dependencies, names, processes
from hpcsweep.emulator.daemon import (
    allocations,
    associations,
    launch,
    memory,
    preemption,
    timelimit,
)
from hpcsweep.emulator.daemon.pool import Pool
from hpcsweep.emulator.daemon.steps import Steps
from hpcsweep.emulator.daemon.timers import Timers
from hpcsweep.emulator.events import EventLog
from hpcsweep.emulator.faults import orders
from hpcsweep.emulator.jobs import FIRST_PRIORITY, Book, Job, Request

# Seconds between two looks at what a killed job's shell left behind; only until KillWait.
_LEFTOVERS_S = 0.1
# Seconds from a decision to its signals: a job that requeues itself shall see that it was done.
_DELIVERY_S = 0.2


class Controller:
    """All jobs in memory and their processes."""

    def __init__(self, state_dir: Path, settings: config.EmulatorConfig, book: Book) -> None:
        self.state_dir = state_dir
        self.settings = settings
        self.log = EventLog(state_dir / names.EVENTS)
        self.jobs = book.jobs
        self.requests = book.requests
        self.last_id = max(book.last_id, settings.first_job_id - 1)
        self.pool = Pool(settings)
        for name, reason in book.nodes.items():
            if name in self.pool.nodes:
                self.pool.nodes[name].down = reason
        # Those of `jobs` that are not over, and how many records each base id has.
        self.live = {job.id: job for job in self.jobs.values() if not job.is_final}
        self._records = Counter(job.request.id for job in self.jobs.values())
        # Something happened that may let a job start.
        self.is_dirty = True
        self.timers = Timers(settings.tick_s)
        self._started: dict[int, tuple[Job, launch.Started]] = {}
        # Processes that were told to end, by job id: also those that leave the session meanwhile.
        self._doomed: dict[int, list[processes.Process]] = {}
        # Elements that occupy a node, by base id: what a throttle limits.
        self._running: Counter[int] = Counter()
        self._released = 0
        # The steps of running jobs; who is to be preempted.
        self.steps = Steps()
        self.preempting: set[int] = set()
        self.faults = orders.Faults(self)

    # -- jobs in and out -------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether any job is not over."""
        return bool(self.live)

    def count(self) -> int:
        """Jobs in memory, each element of an array counted: what MaxJobCount limits."""
        return sum(job.elements for job in self.jobs.values())

    def new_id(self) -> int:
        """A job id that was never used."""
        self.last_id += 1
        return self.last_id

    def next_priority(self) -> int:
        """Behind everything that was queued so far, as after Slurm's release."""
        self._released += 1
        return FIRST_PRIORITY - (self.last_id - self.settings.first_job_id) - self._released

    def usual_priority(self, request: Request) -> int:
        """First come, first served, unless --priority or --nice says otherwise."""
        place = request.id - self.settings.first_job_id
        return request.priority or FIRST_PRIORITY - place - request.nice

    def add(self, request: Request, ids: list[int], *, held: bool, begin: float) -> Job:
        """Queue what an sbatch asked for. *Writes* the event log, durably."""
        job = Job(
            id=request.id,
            request=request,
            waiting=deque(ids),
            throttle=arrays.parse_throttle(request.array),
            held="JobHeldUser" if held else "",
            reason="JobHeldUser" if held else "None",
            priority=0 if held else self.usual_priority(request),
            submitted=request.submitted,
            begin=begin,
        )
        self.log.append({"e": "request", "request": request.to_json()})
        self.record(job)
        self.log.sync()
        self.requests[request.id] = request
        self._insert(job)
        self.wake_at(begin)
        self.wake_at(request.submitted + self.settings.start_delay_s)
        self.is_dirty = True
        return job

    def _insert(self, job: Job) -> None:
        if job.id not in self.jobs:
            self._records[job.request.id] += 1
        self.jobs[job.id] = self.live[job.id] = job

    def replace_request(self, request: Request) -> None:
        """Other options for a job and all of its elements. *Writes* the event log."""
        self.requests[request.id] = request
        self.log.append({"e": "request", "request": request.to_json()})
        for job in self.jobs.values():
            if job.request.id == request.id:
                job.request = request
                self.record(job)

    def record(self, job: Job) -> None:
        """*Writes* the job's state to the event log."""
        self.log.append(job.event(time.time()))

    def wake_at(self, when: float) -> None:
        """Schedule at that time."""
        if when > time.time():
            self.timers.at(when, self._set_dirty)

    def _set_dirty(self) -> None:
        self.is_dirty = True

    def split(self, job: Job, task: int) -> Job:
        """Make a waiting element a record of its own; the last one keeps the array's base id."""
        job.waiting.remove(task)
        identity = self.new_id() if job.waiting else job.id
        element = dataclasses.replace(job, id=identity, task=task, waiting=deque())
        self._insert(element)
        return element

    def drop(self, job: Job, tasks: set[int]) -> None:
        """Waiting elements of an array are cancelled and leave no trace, as in Slurm."""
        job.waiting = deque(task for task in job.waiting if task not in tasks)
        self.log.append({"e": "drop", "id": job.id, "tasks": arrays.format_ids(sorted(tasks))})
        self.is_dirty = True

    def cancel_waiting(self, job: Job, by: int) -> None:
        """A job, or the rest of an array, is cancelled before it started."""
        job.state, job.cancelled_by, job.ended = "CANCELLED", by, time.time()
        del self.live[job.id]
        self.record(job)
        self.is_dirty = True
        self.forget_later(job)

    def forget_later(self, job: Job) -> None:
        """After MinJobAge only accounting remembers the job."""
        when = job.ended + self.settings.min_job_age_s
        self.timers.at(when, lambda: self._forget(job))

    def _forget(self, job: Job) -> None:
        if self.jobs.get(job.id) is not job:
            return  # it runs once more
        del self.jobs[job.id]
        base = job.request.id
        self._records[base] -= 1
        if not self._records[base]:
            del self._records[base], self.requests[base]
            files.remove_tree(launch.submission_dir(self.state_dir, base))

    # -- starting --------------------------------------------------------------------------

    def schedule(self) -> None:
        """Start what can start, first come, first served.

        A job that finds no room blocks those behind it in its partition: there is no backfill.
        """
        self.is_dirty = False
        blocked: set[str] = set()
        pending = [job for job in self.live.values() if job.state == "PENDING"]
        tier = self.settings.tier
        for job in sorted(
            pending, key=lambda one: (-tier(one.request.partition), -one.priority, one.id)
        ):
            reason = self._start_some(job, blocked)
            self._set_reason(job, reason)
            if reason == "DependencyNeverSatisfied" and job.request.kill_on_invalid_dep:
                self.cancel_waiting(job, by=-1)

    def _start_some(self, job: Job, blocked: set[str]) -> str:
        """Start the job, or as many of its elements as can; why the rest waits."""
        obstacle = self._obstacle(job)
        partition = job.request.partition
        while not obstacle:
            if partition in blocked:
                return "Priority"
            if job.throttle and self._running[job.request.id] >= job.throttle:
                return "JobArrayTaskLimit"
            if limit := associations.obstacle(self.settings, job, self.occupying):
                return limit
            places = self.pool.place(job.request)
            if not places:
                blocked.add(partition)
                preemption.make_room(self, job)
                return "Resources"
            is_last = len(job.waiting) <= 1
            task = dependencies.ready_task(job, self.jobs)
            self._start(self.split(job, task) if job.is_remainder else job, places)
            if is_last:
                break
            obstacle = self._dependency(job)
        return obstacle or "None"

    @staticmethod
    def _set_reason(job: Job, reason: str) -> None:
        if job.state == "PENDING":
            job.reason = reason
            if reason not in ("None", "Priority"):
                job.waited_for = reason

    def _obstacle(self, job: Job) -> str:
        """Why the job may not start whatever is free; empty when it may."""
        request = job.request
        if job.held:
            return job.held
        if waits := self._dependency(job):
            return waits
        if job.begin > time.time():
            return "BeginTime"
        if job.submitted + self.settings.start_delay_s > time.time():
            return "None"
        return self.pool.misfit(request) or self._partition_obstacle(job)

    def _partition_obstacle(self, job: Job) -> str:
        partition = self.settings.partition(job.request.partition)
        if partition is None or partition.state != "UP":
            return "PartitionDown"
        if partition.max_time and not 0 < job.time_limit <= partition.max_time:
            return "PartitionTimeLimit"
        return ""

    def _dependency(self, job: Job) -> str:
        state, _ = dependencies.state(job, self.jobs)
        if state == dependencies.FULFILLED:
            return ""
        return "DependencyNeverSatisfied" if state == dependencies.FAILED else "Dependency"

    def _start(self, job: Job, places: dict[str, int]) -> None:
        job.node, job.places = next(iter(places)), places
        self.occupy(job)
        job.state, job.reason = "RUNNING", "None"
        job.started, job.ended = time.time(), 0
        if job.request.client:
            allocations.begin(self, job)
            return
        try:
            started = launch.start(job, self.settings, self.state_dir)
        except OSError:
            self.over(job, "FAILED", "JobLaunchFailure", 0, launch.OUTPUT_SIGNAL)
            return
        job.pid, job.birth = started.pid, started.birth
        self._started[started.pid] = (job, started)
        self.record(job)
        launch.go(started)
        timelimit.set_limit(self, job)
        memory.watch(self, job)
        self.faults.started(job)

    def start_again_beside(self, job: Job) -> None:
        """Run the script a second time beside the first, as on a node that was thought dead."""
        try:
            second = launch.start(job, self.settings, self.state_dir, beside=True)
        except OSError:
            return
        launch.go(second)
        second.channel.close()

    def occupy(self, job: Job) -> None:
        """Take the job's places on its nodes."""
        self.pool.take(job)
        self._running[job.request.id] += 1

    @property
    def occupying(self) -> list[Job]:
        """The jobs that have a place on a node."""
        return [job for job in self.live.values() if job.state != "PENDING"]

    # -- ending ----------------------------------------------------------------------------

    def signal_shell(self, job: Job, *signals: int) -> None:
        """Send signals to the batch shell alone."""
        members = processes.of_job(job.pid, job.birth)
        processes.send([one for one in members if one.pid == job.pid], *signals)

    def signal_all(self, job: Job, *signals: int) -> None:
        """Send signals to every process of the job."""
        processes.send(self.members(job), *signals)

    @staticmethod
    def members(job: Job) -> list[processes.Process]:
        """The processes of a job; of an allocation what its client started."""
        if job.request.client:
            return processes.below(processes.Process(job.pid, 0, 0, job.birth))
        return processes.of_job(job.pid, job.birth)

    def kill(self, job: Job, state: str, reason: str, words: str = "", by: int = -1) -> None:
        """End a running job: CONT and TERM to all of it now, KILL after KillWait."""
        if job.state == "COMPLETING" and state == "CANCELLED" and job.ending == "REQUEUED":
            job.ending, job.cancelled_by = state, by
            self.record(job)
        if job.state not in ("RUNNING", "SUSPENDED"):
            return
        job.state, job.ending, job.reason, job.cancelled_by = "COMPLETING", state, reason, by
        job.ended = time.time()
        self.record(job)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(job.ended))
        launch.write_message(job, f"*** JOB {job.id} ON {job.node} CANCELLED AT {when}{words} ***")
        self.timers.at(job.ended + _DELIVERY_S, lambda: self._terminate(job))
        self.timers.at(job.ended + self.settings.kill_wait_s, lambda: self.kill_rest(job))

    def _terminate(self, job: Job) -> None:
        if job.state == "COMPLETING":
            self._doomed[job.id] = self.members(job)
            processes.send(self._doomed[job.id], signal.SIGCONT, signal.SIGTERM)
            if job.request.client:  # no batch shell whose end would say so
                self._finish_when_gone(job)

    def _remaining(self, job: Job) -> list[processes.Process]:
        old = [one for one in self._doomed.get(job.id, []) if processes.is_alive(one)]
        return list(dict.fromkeys([*old, *self.members(job)]))

    def kill_rest(self, job: Job) -> None:
        """KILL what a job that is being ended still has."""
        if job.state == "COMPLETING":
            processes.send(self._remaining(job), signal.SIGKILL)

    def reap(self) -> None:
        """Take note of the batch shells that ended."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                if ended[0] in self._started:
                    job, started = self._started.pop(ended[0])
                    self.steps.count_usage(job, ended[2].ru_utime, ended[2].ru_stime)
                    self._shell_ended(job, started, ended[1])

    def _shell_ended(self, job: Job, started: launch.Started, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        code, number = max(0, code), max(0, -code)
        if launch.failed_to_start(started):
            code, number = 0, launch.OUTPUT_SIGNAL
        job.batch_code, job.batch_signal, job.batch_ended = code, number, time.time()
        job.batch_state = "CANCELLED" if number else "FAILED" if code else "COMPLETED"
        memory.mark(job)
        if job.state == "COMPLETING":
            self._finish_when_gone(job)
        elif job.oom:
            self.over(job, "OUT_OF_MEMORY", "OutOfMemory", 0, memory.OOM_SIGNAL)
        elif number:
            self.over(job, "FAILED", "JobLaunchFailure", 0, number)
        elif code:
            self.over(job, "FAILED", "NonZeroExitCode", code, 0)
        else:
            self.over(job, "COMPLETED", "None", 0, 0)

    def _finish_when_gone(self, job: Job) -> None:
        if self._remaining(job):
            self.timers.at(time.time() + _LEFTOVERS_S, lambda: self._finish_when_gone(job))
        else:
            self.over(job, job.ending, job.reason, 0, 0)

    def over(self, job: Job, state: str, reason: str, code: int, number: int) -> None:
        """The run is over: give its place back and remember how it ended."""
        self.pool.give_back(job)
        self._running[job.request.id] -= 1
        self._doomed.pop(job.id, None)
        self.steps.forget(job.id)
        self.preempting.discard(job.id)
        job.state, job.reason, job.ending = state, reason, ""
        job.exit_code, job.exit_signal = code, number
        job.ended = job.ended or time.time()
        self.record(job)
        with contextlib.suppress(OSError):
            files.remove_tree(launch.spool_dir(self.state_dir, job))
        del self.live[job.id]
        self.is_dirty = True
        if (
            state == "REQUEUED"
            or (state == "NODE_FAIL" and job.request.requeue)
            or (state == "PREEMPTED" and preemption.runs_again(self, job))
        ):
            self.run_again(job)
        else:
            self.forget_later(job)

    def run_again(self, job: Job) -> None:
        """Queue a run that is over once more, with its id and one restart more."""
        now = time.time()
        again = Job(
            id=job.id,
            request=job.request,
            task=job.task,
            throttle=job.throttle,
            held=job.held,
            reason=job.held or "BeginTime",
            waited_for="BeginTime",
            priority=0 if job.held else self.usual_priority(job.request),
            new_limit=job.new_limit,
            restart=job.restart + 1,
            submitted=now,
            begin=now + self.settings.requeue_delay_s,
        )
        self._insert(again)
        self.record(again)
        self.wake_at(again.begin)
        self.is_dirty = True
