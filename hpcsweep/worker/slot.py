"""The slot: the place for one case at a time, and the child process that runs it.

A function's child imports it once and forks a process for each case; a command has a child per
case. A crash costs the case that crashed and nothing else (DESIGN invariant 18).
"""

from __future__ import annotations

import contextlib
import os
import resource  # noqa: F401  # os.wait4 imports it at its first call (CPython 3.11 to 3.14)
import signal
from typing import Any, NamedTuple

from hpcsweep.program import signal_name
from hpcsweep.records import Reason
from hpcsweep.worker import process
from hpcsweep.worker.inherited import has_children
from hpcsweep.worker.messages import (
    CASE_ID,
    ChildProgram,
    GarbledReply,
    MakeCase,
    Request,
    parse_answer,
    refusal,
    send_request,
)
from hpcsweep.worker.process import ChildProcess, Share
from hpcsweep.worker.runner import NEVER, Runner, Steps, Wait

# Slurm's TERM reaches the child and the worker at the same time, in either order. If a child died
# of a stop signal, wait this many seconds for the worker's own.
STOP_SIGNAL_DELAY_S = 1.0
OOM_KILLED = "the kernel killed a process of the case: its memory limit was reached"
GARBLED = {
    "type": "GarbledAnswer",
    "message": "its answer is damaged: something wrote to a descriptor that was not its own",
}


class CaseEnd(NamedTuple):
    """The end of one case, as reported by its child or by the kernel."""

    # None for a complete case.
    reason: Reason | None = None
    metrics: dict[str, Any] = {}  # noqa: RUF012  # nothing changes a CaseEnd
    error: dict[str, Any] | None = None
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    cgroup_peak_bytes: int | None = None
    code_digest: str | None = None
    # A cache hit: nothing was run.
    from_cache: bool = False


def worker_error(reason: Reason, message: str) -> dict[str, Any]:
    """The error of a case that the worker reports, not the user's code."""
    return {"type": reason.value, "message": message}


def stop_error(runner: Runner) -> dict[str, Any]:
    """The error of a case that the worker terminated after a stop signal."""
    reason, message = runner.stop_reason, f"the worker was told to end by {runner.stop_signal}"
    if reason is Reason.TIMEOUT:
        message += ", at the time limit of its job"
    return worker_error(reason, message)


class SlotCase(NamedTuple):
    """The case that a slot runs."""

    request: Request
    # When it began, on the runner's clock.
    begun: float


class Slot:
    """Runs cases one after the other."""

    def __init__(
        self,
        runner: Runner,
        program: ChildProgram,
        *,
        term_grace_s: float,
        case_timeout_s: float | None,
        share: Share,
    ) -> None:
        """`share`: what its cases have of the task."""
        self._runner = runner
        self._program = program
        self._term_grace_s, self._case_timeout_s = term_grace_s, case_timeout_s
        self._share = share
        self.process: ChildProcess | None = None
        # None between two cases, and while one is made.
        self.running: SlotCase | None = None
        # Those before the case.
        self._oom_kills = 0
        # Never written to: its hang-up tells every child that the worker is gone.
        self._lifeline = os.pipe()

    def run(self, request: Request | MakeCase) -> Steps[CaseEnd]:
        """Run one case to its end, its time limit, or a stop signal of the worker."""
        if isinstance(request, Request):
            self.running = SlotCase(request, self._runner.clock())
        try:
            return (yield from self._run(request))
        finally:
            self.running = None

    def _run(self, request: Request | MakeCase) -> Steps[CaseEnd]:
        self._oom_kills = self._share.memory.oom_kills()
        child = self.process
        if child is not None and os.waitpid(child.pid, os.WNOHANG) != (0, 0):
            self._forget(child)  # a leftover of an earlier case killed it
        try:
            child = self.process = self.process or process.start(
                self._program, request, self._lifeline[0], self._share
            )
            child.expect_case()
            if self._program.is_persistent:
                # It may have died between two cases; `_wait` finds out how.
                with contextlib.suppress(BrokenPipeError):
                    send_request(child.requests, request)
            return (yield from self._wait(child))
        except OSError as error:  # no process could be started or reached
            self.kill()
            return CaseEnd(**refusal(error))

    def close(self) -> Steps[None]:
        """Let the idle child exit; kill it if it does not exit within its grace."""
        child = self.process
        if child is None:
            return
        self._forget(child)
        deadline = self._runner.clock() + self._term_grace_s
        while os.waitpid(child.pid, os.WNOHANG) == (0, 0):
            if self._runner.clock() >= deadline:
                process.kill_group(child.pid)
                deadline = NEVER
            yield Wait(until=deadline)
        process.kill_group(child.pid)  # processes that user code left in its group

    def kill(self) -> None:
        """Kill the child and its case."""
        child = self.process
        if child is None:
            return
        child.kill()
        self._forget(child)
        os.waitpid(child.pid, 0)
        process.kill_group(child.pid)  # processes that it started meanwhile

    def _forget(self, child: ChildProcess) -> None:
        child.close()
        self.process = None

    def _wait(self, child: ChildProcess) -> Steps[CaseEnd]:
        clock, limit_s = self._runner.clock, self._case_timeout_s
        timeout_at = NEVER if limit_s is None else clock() + limit_s
        kill_at = NEVER
        timed_out = False
        while True:
            now = clock()
            timed_out = timed_out or now >= timeout_at
            until = timeout_at
            if timed_out or self._runner.stop_signal:
                grace_s = self._runner.grace_s(self._term_grace_s)
                kill_at = min(kill_at, now + grace_s)
                until = self._end_case(child, kill_at, grace_s, asks=not timed_out)
            yield Wait(until, child.replies)
            child.read_replies()
            if child.is_garbled:
                self.kill()
                return CaseEnd(reason=Reason.ERROR, error=GARBLED, code_digest=child.code_digest)
            if child.end is not None:
                if kill_at != NEVER and child.end["status"] is None:
                    self.kill()  # its TERM must not arrive in the middle of another case
                return (yield from self._case_end(child, child.end, timed_out=timed_out))
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                return (
                    yield from self._end_of_dead_child(child, status, usage, timed_out=timed_out)
                )

    def _end_case(
        self, child: ChildProcess, kill_at: float, grace_s: float, *, asks: bool
    ) -> float:
        """Send the signal that is due to a case. Returns when the next one is due.

        `asks`: the case gets the checkpoint signal first, and half of its grace to save its state.
        """
        now, term_at = self._runner.clock(), kill_at - grace_s / 2
        if asks and self._program.checkpoint_signal is not None and now < term_at:
            child.signal_case(self._program.checkpoint_signal)
            return max(now + 0.05, term_at)
        child.signal_case(signal.SIGKILL if now >= kill_at else signal.SIGTERM)
        return max(now + 0.05, kill_at)

    def _end_of_dead_child(
        self, child: ChildProcess, status: int, usage: Any, *, timed_out: bool
    ) -> Steps[CaseEnd]:
        """The end of a case whose child has exited."""
        child.read_replies()
        child.kill()  # processes that user code left behind
        self._forget(child)
        cpu_seconds = usage.ru_utime + usage.ru_stime + self._kill_daemons(child)
        end = child.end or {
            "status": status,
            "cpu_seconds": cpu_seconds,
            "max_rss_bytes": usage.ru_maxrss * 1024,
        }
        return (yield from self._case_end(child, end, timed_out=timed_out))

    def _kill_daemons(self, child: ChildProcess) -> float:
        """Kill what a command left running. Returns its CPU seconds.

        A persistent child does so after each of its cases.
        """
        if self._program.is_persistent or self.running is None or not has_children():
            return 0.0
        marker = f"{CASE_ID}={self.running.request.case_id}".encode()
        with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
            from hpcsweep.worker import processes  # noqa: PLC0415  # few commands leave any

            return processes.kill_left_of(marker, child.pid)
        return 0.0

    def _case_end(
        self, child: ChildProcess, end: dict[str, Any], *, timed_out: bool
    ) -> Steps[CaseEnd]:
        used = CaseEnd(
            cpu_seconds=end["cpu_seconds"],
            # The kernel knows the largest process of a case, not what all need together.
            max_rss_bytes=max(end["max_rss_bytes"] or 0, child.memory_bytes) or None,
            cgroup_peak_bytes=self._share.memory.new_peak(),
            code_digest=child.code_digest,
        )
        try:
            answer = parse_answer(child.answer)
        except GarbledReply:
            return used._replace(reason=Reason.ERROR, error=GARBLED)
        if answer is None:
            error = yield from self._diagnose(end, timed_out=timed_out)
            return used._replace(reason=Reason(error["type"]) if error else None, error=error)
        # It answered; how its process ended after that does not matter.
        has_saved = answer["reason"] is Reason.TERMINATED
        if has_saved and not timed_out:
            yield from self._await_stop_signal()
        stopped = self._stop_error(timed_out=timed_out)
        if stopped and has_saved:
            stopped["message"] += "; the case has saved its state"
        # After TERM a target may exit with 0 or raise; one that returned was complete.
        if stopped and not answer["returned"]:
            answer |= {"reason": Reason(stopped["type"]), "error": stopped}
        elif answer["error"] and self._is_out_of_memory(used.max_rss_bytes):
            message = f"{answer['error'].get('message', '')} ({OOM_KILLED})"
            answer |= {
                "reason": Reason.OUT_OF_MEMORY,
                "error": answer["error"] | {"message": message},
            }
        del answer["returned"]
        return used._replace(**answer)

    def _stop_error(self, *, timed_out: bool) -> dict[str, Any] | None:
        """The error of a case that the worker terminated; None if it did not."""
        if self._runner.stop_signal:
            return stop_error(self._runner)
        if timed_out:
            limit = f"ran longer than {self._case_timeout_s:g} s"
            return worker_error(Reason.CASE_TIMEOUT, limit)
        return None

    def _diagnose(self, end: dict[str, Any], *, timed_out: bool) -> Steps[dict[str, Any] | None]:
        """The error of a process that ended without an answer; None for a command's success."""
        status = end["status"]
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if number in (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR2) and not timed_out:
            yield from self._await_stop_signal()
        stopped = self._stop_error(timed_out=timed_out)
        if stopped:  # whatever its exit code: programs that save their state exit with 0
            return stopped
        code = os.waitstatus_to_exitcode(status)
        if code == 0 and not self._program.is_persistent:
            return None
        if self._is_out_of_memory(end["max_rss_bytes"], is_killed=number == signal.SIGKILL):
            return worker_error(Reason.OUT_OF_MEMORY, OOM_KILLED)
        if number:
            return worker_error(Reason.SIGNAL, f"died of {signal_name(number)}")
        return worker_error(Reason.EXIT_CODE, f"its process ended with exit code {code}")

    def _await_stop_signal(self) -> Steps[None]:
        """Wait a moment for the stop signal that has ended a case, if the worker gets one."""
        deadline = self._runner.clock() + STOP_SIGNAL_DELAY_S
        while not self._runner.stop_signal and self._runner.clock() < deadline:
            yield Wait(until=deadline)

    def _is_out_of_memory(self, max_rss_bytes: int | None, *, is_killed: bool = False) -> bool:
        """Whether a failed case failed because the kernel killed one of its processes for memory.

        `is_killed`: the process that the worker knows died of SIGKILL. Otherwise it may have been
        one below: a shell survives the kill of its program and exits with 137, a pool raises.
        """
        if self._share.memory.claim_kill(self._oom_kills, is_killed=is_killed):
            return True
        # No counter where Slurm itself watches the memory (jobacct_gather), and in the emulator.
        used, most = max_rss_bytes or 0, self._share.mem_bytes
        return is_killed and most is not None and used >= most
