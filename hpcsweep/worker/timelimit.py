"""The time limit of a task: which signals it explains, and whether another case fits into it."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.worker.cgroup import read_kernel_file

# Seconds by which a signal may precede the time expected by this process: the job starts before
# its script, and Slurm sends the warning up to 60 s early (22.05).
START_DELAY_S, WARNING_EARLY_S = 30.0, 60.0
# Share of the time from the warning to the limit that cases have to save their state and end. In
# the rest the worker kills them, writes its records and has its task requeued.
SAVING_SHARE = 0.75


class TimeLimit(NamedTuple):
    """The time limit of the job, the reason of some stop signals."""

    # Seconds from the start of the job.
    limit_s: float
    # Seconds from the requested warning to the limit.
    warning_s: float = 0.0

    @classmethod
    def of_task(cls, environment: Mapping[str, str], rules: WorkerRules) -> TimeLimit | None:
        """The limit that Slurm gave this task, else the requested one; None if unknown.

        Slurm 24.11 sets the times of a job, 22.05 does not. Use only their difference: they are
        those of the controller's clock.
        """
        limit_s = rules.get("time_limit_s")
        try:
            start, end = (float(environment[f"SLURM_JOB_{name}_TIME"]) for name in ("START", "END"))
            limit_s = end - start
        except (KeyError, ValueError):
            pass
        if limit_s is None:
            return None
        return cls(limit_s=limit_s, warning_s=rules.get("warning_s", 0.0))

    def explains(self, stop_signal: str, age_s: float) -> bool:
        """Whether the limit is the reason of a signal. `age_s`: seconds since the job's start."""
        early_s = min(START_DELAY_S, self.limit_s / 2)
        if stop_signal == signal.SIGUSR2.name:
            early_s += self.warning_s + WARNING_EARLY_S
        return age_s >= self.limit_s - early_s

    def grace_s(self, stop_signal: str, age_s: float) -> float:
        """Seconds that cases may still run after a signal: until the time of the warning.

        Slurm may send the warning earlier, and no case needs to lose that time.
        """
        if stop_signal != signal.SIGUSR2.name or not self.explains(stop_signal, age_s):
            return 0.0
        return max(0.0, self.left_s(age_s))

    def left_s(self, age_s: float) -> float:
        """Seconds until the time of the warning, before which all cases shall have ended.

        A limit that was shortened after the submission leaves its cases nine tenths of it.
        """
        return self.limit_s - self._warned_s - age_s

    @property
    def saving_s(self) -> float:
        """Seconds from the time of the warning in which cases have to save their state and end."""
        return SAVING_SHARE * self._warned_s

    @property
    def _warned_s(self) -> float:
        return min(self.warning_s, self.limit_s / 10)


def process_age_s() -> float:
    """Seconds since the start of this process, which began as the batch shell.

    Of a fork: since that of the process that asked first.
    Without /proc: since the import of this module.
    """
    since_import_s = time.monotonic() - _IMPORTED
    try:
        # Both from the kernel: a library that fakes clocks (libfaketime) fakes CLOCK_BOOTTIME, too.
        age_s = float(read_kernel_file("/proc/uptime").split()[0]) - _start_s()
    except (OSError, ValueError, IndexError):
        return since_import_s
    # lxcfs shows the uptime of a container, and the start of a process since the boot of the host.
    return age_s if age_s >= 0 else since_import_s


_IMPORTED = time.monotonic()


@lru_cache(maxsize=1)
def _start_s() -> float:
    """When this process started, in seconds since the boot. *Raises* OSError, ValueError."""
    # proc(5): field 22 counts ticks since the boot; field 2 may contain anything.
    fields = read_kernel_file("/proc/self/stat").rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


# --- another case ---------------------------------------------------------------------------------

# A case begins if this many times the time of nearly all cases so far is left.
SAFETY = 1.5
PERCENTILE = 0.95


def needed_s(seen: Sequence[float]) -> float:
    """Seconds that another case needs at the most, as far as the cases so far tell; 0 for none."""
    if not seen:
        return 0.0
    return SAFETY * sorted(seen)[math.ceil(PERCENTILE * len(seen)) - 1]


class TimeLeft:
    """Whether the time that is left to a task suffices for another case.

    The first case begins in any time, so that every task start gets on with its chunk.
    """

    def __init__(self, limit: TimeLimit | None) -> None:
        # None: not known, so every case begins.
        self.limit = limit
        # Seconds of each case that has ended, and of the longest.
        self._seen: list[float] = []
        self._longest = 0.0

    def note(self, seconds: float) -> None:
        """Note how long a case took."""
        self._seen.append(seconds)
        self._longest = max(self._longest, seconds)

    def suffices(self) -> bool:
        """Whether another case may begin: it shall end before the warning of the time limit."""
        if self.limit is None or not self._seen:
            return True
        left_s = self.limit.left_s(process_age_s())
        # The percentile is not needed while there is time for any of them.
        return left_s >= SAFETY * self._longest or left_s >= needed_s(self._seen)
