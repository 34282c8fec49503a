"""The slot: the place for one case at a time, and the child process that runs it.

A function's child imports it once and forks a process for each case; a command has a child per
case. A crash costs the case that crashed and nothing else (DESIGN invariant 18).
"""

from __future__ import annotations

import contextlib
import os

# os.wait4 imports it at its first call (CPython 3.11 to 3.14). A file system that refuses just
# then would end the worker in the middle of a case; here it is loaded before there is one.
import resource  # noqa: F401
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from hpcsweep import target
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Reason
from hpcsweep.worker.child import (
    Ends,
    Work,
    broken,
    close_workers_own,
    die_with_worker,
    execute,
    nameless,
    serve,
)
from hpcsweep.worker.function import Calls
from hpcsweep.worker.messages import (
    Garbled,
    Listener,
    Request,
    Wanted,
    refusal,
    send,
    understood,
)
from hpcsweep.worker.signals import Signals, default_in_child

# Slurm's TERM reaches the child and the worker at the same time, in either order: a child that
# died of one of these waits this many seconds for the worker's own.
TOLD_TOO_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How one case ended, as its child reported or the kernel did."""

    # None when it completed.
    reason: Reason | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    code_digest: str | None = None
    # Nothing was run: a cache had the result.
    from_cache: bool = False


@dataclass(slots=True)
class _Process:
    pid: int
    # A file where the child notes the process that it has forked for its case, the head of its own
    # group: it is needed only where a case is made to end.
    slate: int
    # Descriptors: requests to the child, replies from it; -1 for a command.
    requests: int = -1
    replies: int = -1
    listener: Listener = field(default_factory=Listener)
    # Of the user's code, as the child said when it had imported it.
    code_digest: str | None = None
    # What the case answered, and what the child knows of its end.
    answer: bytes = b""
    end: dict[str, Any] | None = None
    is_garbled: bool = False
    # The heads of groups that were told to end.
    told: set[int] = field(default_factory=set)

    @property
    def groups(self) -> tuple[int, ...]:
        """The process groups of the child and of its case, by their heads."""
        noted = os.pread(self.slate, 20, 0).strip()
        return (int(noted), self.pid) if noted.isdigit() else (self.pid,)

    def expect(self) -> None:
        """Another case begins."""
        self.answer, self.end = b"", None
        self.told.clear()

    def tell_to_end(self, *, kill: bool) -> None:
        """TERM the case once, or kill it; the child that has forked it stays."""
        group = self.groups[0]
        if kill:
            _kill(group, signal.SIGKILL)
        elif group not in self.told:
            self.told.add(group)
            _kill(group, signal.SIGTERM)

    def listen(self) -> None:
        """Take over what the child has said."""
        heard = os.read(self.replies, 1 << 20)
        self.listener.hear(heard)
        if not heard:  # a target closed all that it found: all there is to wait for is its end
            os.close(self.replies)
            self.replies = -1
        try:
            while said := self.listener.next():
                self._take(*said)
        except Garbled:
            self.is_garbled = True

    def listen_to_the_end(self) -> None:
        """Take over what the child said before it died."""
        if self.replies >= 0:
            os.set_blocking(self.replies, False)
        with contextlib.suppress(BlockingIOError):
            while self.replies >= 0:
                self.listen()

    def _take(self, said: dict[str, Any], answer: bytes) -> None:
        if "status" in said:
            self.end, self.answer = said, answer
        else:
            self.code_digest = said.get("code_digest")


class Slot:
    """Runs cases one after the other. `beat` is called about once in `beat_s` while one runs."""

    def __init__(
        self,
        manifest: FrozenManifest,
        signals: Signals,
        *,
        term_grace_s: float,
        beat_s: float,
        beat: Callable[[], None],
        work: Work | None = None,
        shared: Iterable[int] = (),
    ) -> None:
        """`work` is what a persistent child does, if not to run a function's cases.

        `shared`: descriptors of the worker that a case writes to; it has no other.
        """
        self._manifest = manifest
        self._signals = signals
        self._term_grace_s = term_grace_s
        self._beat_s = beat_s
        self._beat = beat
        self._shared = frozenset(shared)
        self._process: _Process | None = None
        self._oom_kills = _oom_kills()
        self._work = work or (None if manifest.target.is_command else Calls(manifest))
        # A command's files do not change while a task runs them: one digest for all its cases.
        self._command_digest = None if self._work else target.code_digest(manifest)
        # Nothing is ever written to it: its end tells every child that the worker is gone.
        self._lifeline = os.pipe()

    def run(self, request: Request | Wanted) -> Ended:
        """Run one case to its end, its time limit, or the worker's."""
        if self._process is not None and os.waitpid(self._process.pid, os.WNOHANG) != (0, 0):
            self._forget(self._process)  # by what an earlier case left behind in it
        try:
            process = self._process = self._process or self._start(request)
            process.expect()
            if process.requests >= 0:
                # It may have died between two cases; the wait below says how.
                with contextlib.suppress(BrokenPipeError):
                    send(process.requests, request)
            return self._wait(process)
        except OSError as error:  # no process is to be had, or not to be talked to
            self.kill()
            return Ended(**refusal(error))

    def kill(self) -> None:
        """End the child and its case at once."""
        if self._process is not None:
            for group in self._process.groups:
                _kill(group, signal.SIGKILL)
            self.close()

    def close(self) -> None:
        """End the child: it has no case now."""
        if self._process is None:
            return
        process = self._process
        self._forget(process)
        deadline = time.monotonic() + self._term_grace_s
        killed = False
        while os.waitpid(process.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline and not killed:
                killed = True
                _kill(process.pid, signal.SIGKILL)
            self._signals.wait((), 0.2)
        _kill(process.pid, signal.SIGKILL)  # what the user's code left behind in its group

    def _start(self, request: Request | Wanted) -> _Process:
        """*Raises* OSError."""
        pipes: list[int] = []
        listener = Listener()
        try:
            pipes.append(nameless())
            if self._work:
                pipes += os.pipe()
                pipes += os.pipe()
            pid = os.fork()
        except OSError:
            for descriptor in pipes:
                os.close(descriptor)
            raise
        if pid == 0:
            self._be_child(request, pipes, listener.token)
        process = _Process(pid, pipes[0], listener=listener, code_digest=self._command_digest)
        if self._work:
            _, theirs, process.requests, process.replies, their_other = pipes
            os.close(theirs)
            os.close(their_other)
        return process

    def _be_child(self, request: Request | Wanted, pipes: list[int], token: bytes) -> NoReturn:
        complaints = os.dup(2)
        try:
            os.setpgid(0, 0)
            default_in_child()
            lifeline = self._lifeline[0]
            close_workers_own({0, 1, 2, complaints, lifeline, *pipes} | self._shared)
            die_with_worker(lifeline)
            if self._work:
                slate, requests, mine, others, replies = pipes
                os.close(mine)
                os.close(others)
                ends = Ends(requests, replies, lifeline, token, complaints, slate)
                serve(self._work, ends)
            # The notice belongs to the open file: the command keeps it.
            os.set_inheritable(lifeline, True)
            if isinstance(request, Request):
                execute(self._manifest, request)
        finally:
            broken(complaints)

    def _wait(self, process: _Process) -> Ended:
        limit_s = self._manifest.case_timeout_s
        begun = time.monotonic()
        timed_out = False
        kill_at: float | None = None
        while True:
            now = time.monotonic()
            timed_out = timed_out or (limit_s is not None and now - begun >= limit_s)
            waits = [self._beat_s]
            if timed_out or self._signals.told:
                kill_at = kill_at or now + self._term_grace_s
                process.tell_to_end(kill=now >= kill_at)
                waits.append(max(0.05, kill_at - now))
            elif limit_s is not None:
                waits.append(max(0.0, begun + limit_s - now))
            self._hear(process, min(waits))
            if process.is_garbled:
                self.kill()
                return Ended(reason=Reason.ERROR, error=GARBLED, code_digest=process.code_digest)
            if process.end is not None:
                if kill_at is not None and process.end["status"] is None:
                    self.kill()  # its TERM must not arrive in the middle of another case
                return self._ended(process, process.end, timed_out=timed_out)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                return self._died(process, status, usage, timed_out=timed_out)
            if time.monotonic() - now >= self._beat_s:
                self._beat()

    def _hear(self, process: _Process, timeout_s: float) -> None:
        replies = [process.replies] if process.replies >= 0 else []
        if self._signals.wait(replies, timeout_s):
            process.listen()

    def _died(self, process: _Process, status: int, usage: Any, *, timed_out: bool) -> Ended:
        """How the case ended whose child is gone."""
        process.listen_to_the_end()
        for group in process.groups:
            _kill(group, signal.SIGKILL)  # what the user's code left behind
        self._forget(process)
        end = process.end or {
            "status": status,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "max_rss_bytes": usage.ru_maxrss * 1024,
        }
        return self._ended(process, end, timed_out=timed_out)

    def _ended(self, process: _Process, end: dict[str, Any], *, timed_out: bool) -> Ended:
        used = Ended(
            cpu_seconds=end["cpu_seconds"],
            max_rss_bytes=end["max_rss_bytes"],
            code_digest=process.code_digest,
        )
        try:
            answer = understood(process.answer)
        except Garbled:
            return replace(used, reason=Reason.ERROR, error=GARBLED)
        if answer is None:
            error = self._judge(end["status"], timed_out=timed_out)
            return replace(used, reason=Reason(error["type"]) if error else None, error=error)
        # It answered, however its process ended then.
        stopped = self._stopped(timed_out=timed_out)
        # Told to end, a target may well exit with 0 or raise; one that returned was done.
        if stopped and not answer["returned"]:
            answer |= {"reason": Reason(stopped["type"]), "error": stopped}
        del answer["returned"]
        return replace(used, **answer)

    def _stopped(self, *, timed_out: bool) -> dict[str, Any] | None:
        """Why we made a case end; None when we did not."""
        if self._signals.told:
            told = f"the worker was told to end by {self._signals.told}"
            return _problem(Reason.TERMINATED, told)
        if timed_out:
            late = f"ran longer than {self._manifest.case_timeout_s:g} s"
            return _problem(Reason.CASE_TIMEOUT, late)
        return None

    def _judge(self, status: int, *, timed_out: bool) -> dict[str, Any] | None:
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if number in (signal.SIGTERM, signal.SIGKILL, signal.SIGUSR2) and not timed_out:
            deadline = time.monotonic() + TOLD_TOO_S
            while not self._signals.told and time.monotonic() < deadline:
                self._signals.wait((), max(0.0, deadline - time.monotonic()))
        oom_kills = _oom_kills()
        killed_for_memory = number == signal.SIGKILL and oom_kills > self._oom_kills
        self._oom_kills = oom_kills
        stopped = self._stopped(timed_out=timed_out)
        if stopped:  # whatever its exit code is: programs that save their state end with 0
            return stopped
        if killed_for_memory:
            limit = "the kernel killed it: its memory limit was reached"
            return _problem(Reason.OUT_OF_MEMORY, limit)
        if number:
            return _problem(Reason.SIGNAL, f"died of {_signal_name(number)}")
        code = os.waitstatus_to_exitcode(status)
        if self._work is None and code == 0:
            return None
        return _problem(Reason.EXIT_CODE, f"its process ended with exit code {code}")

    def _forget(self, process: _Process) -> None:
        for descriptor in (process.requests, process.replies, process.slate):
            with contextlib.suppress(OSError):  # it is closed even so
                if descriptor >= 0:
                    os.close(descriptor)  # the child's loop ends with its requests
        self._process = None


def _problem(reason: Reason, message: str) -> dict[str, Any]:
    return {"type": reason.value, "message": message}


GARBLED = {
    "type": "GarbledAnswer",
    "message": "its answer is damaged: something wrote to a descriptor that was not its own",
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between the first and the last has none
        return f"signal {number}"


def _kill(pid: int, number: signal.Signals) -> None:
    """Signal the child's whole process group."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):  # the child has not yet made its group
            os.kill(pid, number)


def _oom_kills() -> int:
    """Count of processes of this cgroup that the kernel killed for memory; 0 where unknown."""
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":
                file = Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.events"
            elif "memory" in controllers.split(","):
                file = Path("/sys/fs/cgroup/memory") / path.lstrip("/") / "memory.oom_control"
            else:
                continue
            if file.exists():
                for row in file.read_text().splitlines():
                    name, _, value = row.partition(" ")
                    if name == "oom_kill":
                        return int(value)
    except (OSError, ValueError):
        pass
    return 0
