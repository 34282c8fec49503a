"""The slot: the place for one case at a time, and the child process that runs it.

One persistent child runs a function's cases, replaced after a crash or a timeout; a command has a
child per case. A crash costs the case that crashed and nothing else (DESIGN invariant 18).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcsweep import target
from hpcsweep.execute import child
from hpcsweep.execute.signals import Signals, default_in_child
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Reason

# The worker's ends of all pipes: a child that kept one would hide the worker's end from another.
_OURS: set[int] = set()
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


# What a persistent child does with the manifest, requests and replies; it never returns.
Serve = Callable[[FrozenManifest, int, int], None]


@dataclass(slots=True)
class _Process:
    pid: int
    # Descriptors: requests to the child, replies from it; -1 for a command.
    requests: int
    replies: int
    # Seconds of CPU that the child had used when its last case ended.
    cpu_before: float = 0.0
    # Of the user's code, as the child said when it had imported it.
    code_digest: str | None = None
    # Bytes of replies that were read and not yet understood.
    unread: bytes = b""


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
        serve: Serve | None = None,
    ) -> None:
        """`serve` is what a persistent child does, if not to run a function's cases."""
        self._manifest = manifest
        self._signals = signals
        self._term_grace_s = term_grace_s
        self._beat_s = beat_s
        self._beat = beat
        self._process: _Process | None = None
        self._oom_kills = _oom_kills()
        # A command's files do not change while a task runs them: one digest for all its cases.
        self._serve = serve or (None if manifest.target.is_command else child.serve)
        self._command_digest = None if self._serve else target.code_digest(manifest)
        # Nothing is ever written to it: its end tells every child that the worker is gone.
        self._lifeline = os.pipe()
        _OURS.add(self._lifeline[1])

    def run(self, request: child.Request | child.Wanted) -> Ended:
        """Run one case to its end, its time limit, or the worker's."""
        if self._process is not None and os.waitpid(self._process.pid, os.WNOHANG) != (0, 0):
            self._forget(self._process)  # by what an earlier case left behind in it
        if self._process is None:
            self._process = self._start(request)
        if self._process.requests >= 0:
            # It may have died between two cases; the wait below says how.
            with contextlib.suppress(BrokenPipeError):
                _send(self._process.requests, request)
        return self._wait(self._process)

    def kill(self) -> None:
        """End the child and its case at once."""
        if self._process is not None:
            _kill(self._process.pid, signal.SIGKILL)
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

    def _start(self, request: child.Request | child.Wanted) -> _Process:
        inward = os.pipe() if self._serve else (-1, -1)
        outward = os.pipe() if self._serve else (-1, -1)
        if self._serve:
            _OURS.update((inward[1], outward[0]))
        pid = os.fork()
        if pid == 0:
            stderr = os.dup(2)
            try:
                os.setpgid(0, 0)
                default_in_child()
                for descriptor in _OURS:
                    os.close(descriptor)
                child.die_with_worker(self._lifeline[0])
                if self._serve:
                    self._serve(self._manifest, inward[0], outward[1])
                elif isinstance(request, child.Request):
                    child.execute(self._manifest, request)
            finally:  # it broke by itself: the task's output says how
                try:
                    os.write(stderr, traceback.format_exc().encode(errors="backslashreplace"))
                finally:
                    os._exit(child.EXIT_BROKEN)
        if self._serve:
            os.close(inward[0])
            os.close(outward[1])
        return _Process(
            pid=pid,
            requests=inward[1],
            replies=outward[0],
            code_digest=self._command_digest,
        )

    def _wait(self, process: _Process) -> Ended:
        limit_s = self._manifest.case_timeout_s
        begun = time.monotonic()
        timed_out = False
        kill_at: float | None = None
        while True:
            now = time.monotonic()
            timed_out = timed_out or (limit_s is not None and now - begun >= limit_s)
            if (timed_out or self._signals.told) and kill_at is None:
                kill_at = now + self._term_grace_s
                _kill(process.pid, signal.SIGTERM)
            if kill_at is not None and now >= kill_at:
                _kill(process.pid, signal.SIGKILL)
            waits = [self._beat_s]
            if kill_at is not None:
                waits.append(max(0.05, kill_at - now))
            elif limit_s is not None:
                waits.append(max(0.0, begun + limit_s - now))
            reply = self._hear(process, min(waits))
            if reply is not None:
                if kill_at is not None:  # its TERM must not arrive in the middle of another case
                    self.kill()
                return self._replied(process, reply, timed_out=timed_out)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                return self._died(process, status, usage, timed_out=timed_out)
            if time.monotonic() - now >= self._beat_s:
                self._beat()

    def _hear(self, process: _Process, timeout_s: float) -> dict[str, Any] | None:
        replies = [process.replies] if process.replies >= 0 else []
        if self._signals.wait(replies, timeout_s):
            _listen(process)
        return _reply(process)

    def _replied(self, process: _Process, reply: dict[str, Any], *, timed_out: bool) -> Ended:
        cpu_total = reply.pop("cpu_total")
        reason = reply.pop("reason")
        cpu, process.cpu_before = cpu_total - process.cpu_before, cpu_total
        stopped = self._stopped(timed_out=timed_out)
        # Told to end, a target may well exit with 0 or raise; one that returned was done.
        if stopped and not reply.pop("returned"):
            reason, reply["error"] = stopped["type"], stopped
        reply.pop("returned", None)
        return Ended(
            reason=Reason(reason) if reason else None,
            cpu_seconds=cpu,
            code_digest=process.code_digest,
            **reply,
        )

    def _died(self, process: _Process, status: int, usage: Any, *, timed_out: bool) -> Ended:
        if process.replies >= 0:
            os.set_blocking(process.replies, False)
            try:
                while more := os.read(process.replies, 1 << 16):
                    process.unread += more
            except BlockingIOError:
                pass
        self._forget(process)
        _kill(process.pid, signal.SIGKILL)  # what the user's code left behind in its group
        reply = _reply(process)
        if reply is not None:  # it answered, then died: the case itself is complete
            return self._replied(process, reply, timed_out=timed_out)
        error = self._judge(status, timed_out=timed_out)
        return Ended(
            reason=Reason(error["type"]) if error else None,
            error=error,
            cpu_seconds=usage.ru_utime + usage.ru_stime - process.cpu_before,
            max_rss_bytes=usage.ru_maxrss * 1024,
            code_digest=process.code_digest,
        )

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
        if self._serve is None and code == 0:
            return None
        return _problem(Reason.EXIT_CODE, f"its process ended with exit code {code}")

    def _forget(self, process: _Process) -> None:
        for descriptor in (process.requests, process.replies):
            if descriptor >= 0:
                _close(descriptor)  # the child's loop ends with its requests
        self._process = None


def _close(descriptor: int) -> None:
    """Close one of the worker's ends."""
    _OURS.discard(descriptor)
    os.close(descriptor)


def _problem(reason: Reason, message: str) -> dict[str, Any]:
    return {"type": reason.value, "message": message}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between the first and the last has none
        return f"signal {number}"


def _listen(process: _Process) -> None:
    heard = os.read(process.replies, 1 << 16)
    process.unread += heard
    if not heard:  # a target closed all that it found open: all there is to wait for is its end
        _close(process.replies)
        process.replies = -1


def _reply(process: _Process) -> dict[str, Any] | None:
    """The child's answer about its case, once it is here; what it says before is noted."""
    while b"\n" in process.unread:
        line, _, process.unread = process.unread.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "reason" in message:
            return message
        process.code_digest = message["code_digest"]
    return None


def _send(descriptor: int, request: child.Request | child.Wanted) -> None:
    view = memoryview(json.dumps(request.to_json()).encode() + b"\n")
    while view:
        view = view[os.write(descriptor, view) :]


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
