"""The circuit breaker in a task: mark failed cases, and stop the sweep when they are too many.

All tasks of a sweep mark in one directory, so a listing counts the failures of all of them, on any
file system and without the index. What cannot be written or listed is counted later, by `advance`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.files import json_bytes, names, open_file, write_new
from hpcsweep.records import IN_TASK, Outcome, ParamCase, Reason, Status
from hpcsweep.sweepdir.plan import StopRules
from hpcsweep.sweepdir.stop import StopFact, error_kind, failure_marks, kind_digest, stop_path
from hpcsweep.worker.runner import Runner, Steps, Wait

# Above this threshold only every second, third … case is marked, chosen by its id: a directory with
# many entries is slow on a parallel file system, and each failure lists it.
MARKS_MAX = 1000
# Seconds that a task waits for the `advance` that it started. A closing job makes up for it.
ADVANCE_S = 60.0


class TaskBreaker:
    """Marks the failures of one task, and knows whether the sweep is stopped."""

    def __init__(self, python: str, sweep: Path, rules: StopRules, runner: Runner) -> None:
        """`python` is hpcsweep's own interpreter."""
        self._python, self._sweep, self._runner = python, sweep, runner
        self._fact, self._marks = stop_path(sweep), failure_marks(sweep)
        # One case of this many is marked.
        self._share = -(-rules["failures"] // MARKS_MAX)
        self._threshold = -(-rules["failures"] // self._share)
        self._is_equal = rules["equal"]
        self._spared = frozenset(map(Reason, rules["spared"]))
        self._pid = 0

    @property
    def is_stopped(self) -> bool:
        """Whether no further case may begin. One stat."""
        return self._fact.exists()

    def note(self, case: ParamCase, outcome: Outcome) -> None:
        """Mark a failed case. *Writes* the fact that the sweep is stopped if it is one too many."""
        reason = outcome.reason
        if outcome.status is not Status.FAILED or reason is None or reason in self._spared:
            return
        if int(case.case_id, 16) % self._share:
            return
        kind = error_kind(reason.value, outcome.error)
        suffix = f".{kind_digest(kind)}"
        try:
            os.close(open_file(self._marks / f"{case.index}{suffix}", os.O_WRONLY))
            marks = names(self._marks)
        except (OSError, SweepError):  # full, or just being cleared
            return
        if self._is_equal:
            marks = [name for name in marks if name.endswith(suffix)]
        # A case that failed twice, each time with another error, has two marks.
        count = len({name.partition(".")[0] for name in marks})
        if count >= self._threshold:
            self._stop(count * self._share, kind if self._is_equal else "")

    def finish(self) -> Steps[None]:
        """Wait for the `advance` that this task started, until its deadline or a stop signal."""
        deadline = self._runner.clock() + ADVANCE_S
        while self._is_running() and not self._runner.stop_signal:
            if self._runner.clock() >= deadline:
                break
            yield Wait(until=deadline)
        if self._is_running():
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)

    def _stop(self, failures: int, kind: str) -> None:
        fact: StopFact = {"time": time.time(), "failures": failures, "kind": kind}
        try:
            write_new(self._fact, json_bytes(fact))
        except (FileExistsError, SweepError):  # another task was first, or the disk is full
            return
        # It cancels or holds what waits in the queue, where a node may do so. Elsewhere each of
        # those tasks starts, sees the fact, and ends.
        argv = [self._python, "-P", "-m", "hpcsweep", "advance", str(self._sweep)]
        environment = {name: value for name, value in os.environ.items() if name != IN_TASK}
        with contextlib.suppress(OSError):
            self._pid = os.posix_spawn(self._python, argv, environment)

    def _is_running(self) -> bool:
        with contextlib.suppress(OSError):
            if self._pid and os.waitpid(self._pid, os.WNOHANG) != (0, 0):
                self._pid = 0
        return self._pid != 0
