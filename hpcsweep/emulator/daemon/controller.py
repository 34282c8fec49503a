"""The controller: executes the decisions of the policies, and logs them.

It never blocks and knows no sockets: `loop` calls `schedule` and `reap` after events, and
`timers.run` when a timer is due.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from hpcsweep import files
from hpcsweep.emulator import arrays, names, processes
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.daemon import (
    job_files,
    launch,
    memory,
    preemption,
    scheduling,
    signals,
    watches,
)
from hpcsweep.emulator.daemon.pool import Pool
from hpcsweep.emulator.daemon.steps import Steps
from hpcsweep.emulator.daemon.table import JobTable
from hpcsweep.emulator.daemon.termination import Termination
from hpcsweep.emulator.daemon.timers import Timers
from hpcsweep.emulator.events import EventLog
from hpcsweep.emulator.faults.chance import Fault
from hpcsweep.emulator.faults.fault_state import FaultState
from hpcsweep.emulator.jobs import NO_SHELL, REQUEUED_HELD, Job, JobRequest
from hpcsweep.emulator.logged_state import LoggedState
from hpcsweep.errors import ClusterError


class Controller:
    """The state of a running cluster: jobs in memory, nodes, processes."""

    def __init__(self, state_dir: Path, settings: EmulatorConfig, logged: LoggedState) -> None:
        self.state_dir = state_dir
        self.settings = settings
        self.log = EventLog(state_dir / names.EVENTS)
        self.table = JobTable(logged, self.log, first_job_id=settings.first_job_id)
        self.pool = Pool(settings)
        for name, reason in logged.nodes.items():
            if name in self.pool.nodes:
                self.pool.nodes[name].down = reason
        self.timers = Timers(settings.tick_s)
        self.steps = Steps()
        self.faults = FaultState()
        # An event that may let a job start has happened.
        self.is_dirty = True
        self._shells = launch.Shells(state_dir)
        self._termination = Termination(self.timers, self._finish_ending)
        # Ids of preempted jobs whose grace time is not over.
        self._preempting: set[int] = set()

    # -- the queue -------------------------------------------------------------------------

    def submit(self, request: JobRequest, ids: list[int], *, held: bool, begin: float) -> None:
        """Queue a job or an array. *Writes* the event log, durably."""
        job = Job(
            id=request.id,
            request=request,
            waiting=deque(ids),
            throttle=arrays.parse_throttle(request.array),
            held="JobHeldUser" if held else "",
            reason="JobHeldUser" if held else "None",
            priority=0 if held else self.table.usual_priority(request),
            submitted=request.submitted,
            begin=begin,
        )
        self.table.add(job)
        self.wake_at(begin)
        self.wake_at(request.submitted + self.settings.start_delay_s)
        self.is_dirty = True

    def wake_at(self, when: float) -> None:
        """Run `schedule` at this time."""
        if when > time.time():
            self.timers.at(when, self._set_dirty)

    def _set_dirty(self) -> None:
        self.is_dirty = True

    def cancel_elements(self, job: Job, tasks: set[int]) -> None:
        """Cancel pending elements of an array."""
        self.table.drop(job, tasks)
        self.is_dirty = True

    def cancel_waiting(self, job: Job, by: int) -> None:
        """Cancel a pending job, or the remainder of an array."""
        job.state, job.cancelled_by, job.ended = "CANCELLED", by, time.time()
        self.table.end(job)
        self.is_dirty = True
        self.forget_later(job)

    def forget_later(self, job: Job) -> None:
        """Remove the job from memory after MinJobAge; then only accounting knows it."""
        self.timers.at(job.ended + self.settings.min_job_age_s, lambda: self._forget(job))

    def _forget(self, job: Job) -> None:
        if self.table.forget(job):
            files.remove_tree(job_files.submission_dir(self.state_dir, job.request.id))

    # -- starting --------------------------------------------------------------------------

    def schedule(self) -> None:
        """Start all jobs that can start."""
        self.is_dirty = False
        for decision in scheduling.decisions(
            self.table, self.pool, self.settings, self._preempting
        ):
            match decision:
                case scheduling.StartJob(job, task, places):
                    self._start(job if task is None else self.table.split(job, task), places)
                case scheduling.PreemptJob(job):
                    self.preempt(job)
                case scheduling.KeepPending(job, reason):
                    self._let_wait(job, reason)

    def _let_wait(self, job: Job, reason: str) -> None:
        if job.state == "PENDING":
            job.reason = reason
            if reason not in ("None", "Priority"):
                job.waited_for = reason
        if reason == "DependencyNeverSatisfied" and job.request.kill_on_invalid_dep:
            self.cancel_waiting(job, by=-1)

    def _start(self, job: Job, places: dict[str, int]) -> None:
        job.node, job.places = next(iter(places)), places
        self.pool.allocate(job)
        job.state, job.reason, job.expediting = "RUNNING", "None", False
        job.started, job.ended = time.time(), 0
        if job.request.client:
            self._begin_allocation(job)
            return
        try:
            shell = self._shells.start(job, self.settings)
        except (OSError, ClusterError) as error:
            self._report(f"job {job.id} cannot be started: {error}")
            self.finish_run(job, "FAILED", "JobLaunchFailure", 0, launch.OUTPUT_SIGNAL)
            return
        job.pid, job.birth = shell.pid, shell.birth
        self.table.record(job)
        self._shells.release(shell)
        self.watch_time(job)
        watches.watch_memory(
            job, self.timers, self.settings.mem_poll_s, when_exceeded=self._kill_largest
        )
        for fault, delay_s in self.faults.of_run(
            self.settings.fault_plan, job.request.name, job.task, job.restart
        ):
            self.timers.at(time.time() + delay_s, functools.partial(self.strike, fault.kind, job))

    def _begin_allocation(self, job: Job) -> None:
        """Start an allocation, and watch its client."""
        client = processes.find(job.request.client_pid)
        job.pid, job.birth = (client.pid, client.birth) if client else (0, 0)
        self.table.record(job)
        self.watch_time(job)
        if job.request.client != NO_SHELL:
            watches.watch_client(job, self.timers, when_dead=self._end_allocation)

    def requeue(self, job: Job) -> None:
        """Queue a job again after a run, with the same id and the next restart count."""
        now = time.time()
        again = Job(
            id=job.id,
            request=job.request,
            task=job.task,
            throttle=job.throttle,
            held=job.held,
            reason=job.held or "BeginTime",
            waited_for="BeginTime",
            priority=0 if job.held else self.table.usual_priority(job.request),
            new_limit=job.new_limit,
            restart=job.restart + 1,
            expediting=job.request.expedite and job.state == "NODE_FAIL",
            submitted=now,
            begin=now + (0 if job.request.expedite else self.settings.requeue_delay_s),
        )
        self.table.insert(again)
        self.table.record(again)
        self.wake_at(again.begin)
        self.is_dirty = True

    # -- while it runs ---------------------------------------------------------------------

    def watch_time(self, job: Job) -> None:
        """Set the timers of the job's --signal and time limit; also after a change of its limit."""
        watches.watch_time(
            job,
            self.timers,
            self.settings,
            warn=self._warn,
            when_over=lambda job: self.kill(job, "TIMEOUT", "TimeLimit", " DUE TO TIME LIMIT"),
        )

    def _warn(self, job: Job) -> None:
        signals.warn(job, self.steps)

    def _kill_largest(self, job: Job) -> None:
        """Kill the largest process of a job, like the kernel in a cgroup without memory."""
        victim = memory.largest(signals.processes_of(job))
        if job.state != "RUNNING" or victim is None:
            return
        job.oom = True
        self.table.record(job)
        processes.send([victim], signal.SIGKILL)
        text = memory.message(job, self.settings.version)
        job_files.write_message(job, text, self.settings.version)

    def _end_allocation(self, job: Job) -> None:
        """End the allocation of a killed client."""
        processes.send(signals.marked(job, self.state_dir), signal.SIGKILL)
        self.finish_run(job, "CANCELLED", "None", 0, 0)

    # -- ending ----------------------------------------------------------------------------

    def kill(self, job: Job, state: str, reason: str, message: str = "", by: int = -1) -> None:
        """Terminate a running job with this final state: CONT and TERM now, KILL after KillWait."""
        if job.state == "COMPLETING" and state == "CANCELLED" and job.ending == "REQUEUED":
            job.ending, job.cancelled_by = state, by
            self.table.record(job)
        if job.state not in ("RUNNING", "SUSPENDED"):
            return
        job.state, job.ending, job.reason, job.cancelled_by = "COMPLETING", state, reason, by
        job.ended = time.time()
        self.table.record(job)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(job.ended))
        if not message and self.settings.version.since("26.05"):
            message = " DUE to SIGNAL Terminated"
        text = f"*** JOB {job.id} ON {job.node} CANCELLED AT {when}{message} ***"
        job_files.write_message(job, text, self.settings.version)
        self._termination.begin(job, self.settings.kill_wait_s)

    def preempt(self, job: Job) -> None:
        """Preempt a job after the grace time of its partition."""
        if job.state != "RUNNING" or job.id in self._preempting:
            return
        grace_s, run = preemption.grace_s(job, self.settings), job.restart
        self._preempting.add(job.id)

        def end() -> None:
            self._preempting.discard(job.id)
            if job.restart == run:
                self.kill(job, "PREEMPTED", "None", preemption.MESSAGE)

        if self.settings.preempt_send_user_signal:
            self._warn(job)
        if grace_s:
            self.timers.at(time.time() + grace_s, end)
        else:
            end()

    def fail_node_of(self, job: Job) -> None:
        """Terminate a job like a failure of its node: at once."""
        message = " DUE TO NODE FAILURE, SEE SLURMCTLD LOG FOR DETAILS"
        self.kill(job, "NODE_FAIL", "NodeDown", message)
        self._termination.kill_rest(job)

    def reap(self) -> None:
        """Process the batch shells that have ended."""
        for end in self._shells.reap():
            self.steps.count_usage(end.job, end.user_s, end.system_s)
            self._note_end_of_shell(end)

    def _note_end_of_shell(self, end: launch.ShellEnd) -> None:
        job, code, number = end.job, end.code, end.signal
        job.batch_code, job.batch_signal, job.batch_ended = code, number, time.time()
        job.batch_state = "CANCELLED" if number else "FAILED" if code else "COMPLETED"
        if job.oom:  # the step is OUT_OF_MEMORY regardless of its exit code
            job.batch_state, job.batch_code = "OUT_OF_MEMORY", 0
            job.batch_signal = memory.OOM_SIGNAL
        if job.state == "COMPLETING":
            self._termination.finish_when_gone(job)
        elif job.oom:
            self.finish_run(job, "OUT_OF_MEMORY", "OutOfMemory", 0, memory.OOM_SIGNAL)
        elif number:
            self.finish_run(job, "FAILED", self._reason_of_signal(number), 0, number)
        elif code and job.request.expedite:
            job.held = REQUEUED_HELD  # as there is no epilog that could have failed (26.05)
            self.finish_run(job, "REQUEUED", "None", code, 0)
        elif code:
            self.finish_run(job, "FAILED", "NonZeroExitCode", code, 0)
        else:
            self.finish_run(job, "COMPLETED", "None", 0, 0)

    def _reason_of_signal(self, number: int) -> str:
        """Why a job failed whose script a signal ended; 22.05 takes all of them for one."""
        if not self.settings.version.since("24.11") or number == launch.OUTPUT_SIGNAL:
            return "JobLaunchFailure"
        return f"RaisedSignal:{number}({signal.strsignal(number)})"

    def _finish_ending(self, job: Job) -> None:
        self.finish_run(job, job.ending, job.reason, 0, 0)

    def finish_run(self, job: Job, state: str, reason: str, code: int, number: int) -> None:
        """End a run: release its resources and log its final state."""
        self.pool.release(job)
        self._termination.forget(job)
        self.steps.forget(job.id)
        self._preempting.discard(job.id)
        job.state, job.reason, job.ending = state, reason, ""
        job.exit_code, job.exit_signal = code, number
        job.ended = job.ended or time.time()
        self.table.end(job)
        with contextlib.suppress(OSError):
            files.remove_tree(job_files.spool_dir(self.state_dir, job))
        self.is_dirty = True
        if (
            state == "REQUEUED"
            or (state == "NODE_FAIL" and job.request.requeue)
            or (state == "PREEMPTED" and preemption.is_queued_again(job, self.settings))
        ):
            self.requeue(job)
        else:
            self.forget_later(job)

    # -- fault injection -------------------------------------------------------------------

    def strike(self, kind: str, job: Job) -> bool:
        """Inject a fault into a running job. Returns whether the job was running."""
        if job.state != "RUNNING" or self.table.jobs.get(job.id) is not job:
            return False
        fields = {"job": job.request.id, "task": job.task, "restart": job.restart}
        self.note_fault(kind, fields)
        if kind == "node_fail":
            self.fail_node_of(job)
        elif kind == "preempt":
            self.preempt(job)
        elif kind == "out_of_memory":
            self._kill_largest(job)
        else:
            self._start_beside(job)
        return True

    def _start_beside(self, job: Job) -> None:
        """Start the script a second time, like on a node that was wrongly considered dead."""
        try:
            self._shells.start_beside(job, self.settings)
        except (OSError, ClusterError) as error:
            self._report(f"job {job.id} cannot be started a second time: {error}")

    def start_outage(self, fault: Fault) -> None:
        """Start an outage of a service for the duration of the fault."""
        now = time.time()
        self.faults.start_outage(fault, now)
        self.note_fault(fault.kind, {"seconds": fault.seconds})
        self.timers.at(now + fault.seconds, lambda: None)  # wakes the loop up

    def note_fault(self, kind: str, fields: dict[str, Any]) -> None:
        """*Writes* a fault to the event log."""
        self.log.append({"e": "fault", "at": time.time(), "kind": kind} | fields)

    @staticmethod
    def _report(text: str) -> None:
        """*Writes* a line to the scheduler's log, which is its standard error."""
        print(text, file=sys.stderr, flush=True)
