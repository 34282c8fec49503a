"""Ask Slurm once how long the task may still run, where neither job nor manifest says so."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from hpcsweep.quantities import time_limit_seconds
from hpcsweep.worker.child import anonymous_file
from hpcsweep.worker.runner import NEVER
from hpcsweep.worker.timelimit import process_age_s

# Seconds from the start of a task to the question, and over how many more the tasks of an array are
# spread by their numbers: short tasks ask nothing, and many do not ask at once.
FIRST_S, SPREAD_S = 60.0, 300.0
# Seconds between two looks whether squeue has answered, and until it is given up.
POLL_S, TIMEOUT_S = 0.5, 60.0


class LimitQuery:
    """Hands on the seconds from the start of the job to its limit when squeue has answered."""

    def __init__(
        self, use: Callable[[float], None], clock: Callable[[], float], job_id: str, task: int
    ) -> None:
        """`use` gets the limit; `task` is the number of the array task."""
        self._use, self._clock = use, clock
        # The time left and not the end: it needs neither the cluster's time zone nor its clock.
        self._argv = ["squeue", "--noheader", "--jobs", job_id, "--format", "%L"]
        self._due = self._clock() + FIRST_S + task % SPREAD_S
        self._asked = 0.0
        self._pid, self._answer = 0, -1

    def ask_if_due(self) -> float:
        """Start squeue, or read its answer. Returns when to call this again."""
        if self._clock() < self._due:
            return self._due
        if not self._asked:
            self._start()
        elif self._has_ended():
            self._read()
        elif self._clock() > self._asked + TIMEOUT_S:
            self.close()
        self._due = self._clock() + POLL_S if self._pid else NEVER
        return self._due

    def close(self) -> None:
        """Stop asking."""
        with contextlib.suppress(OSError):
            if self._pid:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        self._forget()

    def _start(self) -> None:
        self._asked = self._clock()
        with contextlib.suppress(OSError):  # without squeue the limit stays unknown
            self._answer = anonymous_file()
            nowhere = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
            actions = [(os.POSIX_SPAWN_DUP2, self._answer, 1), nowhere]
            self._pid = os.posix_spawnp("squeue", self._argv, os.environ, file_actions=actions)

    def _has_ended(self) -> bool:
        return os.waitpid(self._pid, os.WNOHANG) != (0, 0)

    def _read(self) -> None:
        text = os.pread(self._answer, 100, 0).decode(errors="replace").strip()
        left_s = time_limit_seconds(text)
        if left_s is not None:  # else UNLIMITED, or nothing
            self._use(process_age_s() + left_s)
        self._forget()

    def _forget(self) -> None:
        self._pid = 0
        if self._answer >= 0:
            os.close(self._answer)
            self._answer = -1
