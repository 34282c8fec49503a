"""The runner: the event loop of a worker, over the slots of its task.

A slot's work is a generator of *steps*: it yields what it waits for, and continues when that has
happened. So its code reads from top to bottom, and no case waits for another one. Nothing else in
a worker waits.
"""

from __future__ import annotations

import math
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple, TypeVar

from hpcsweep.records import Reason
from hpcsweep.sweepdir.plan import WorkerRules

# TERM: scancel, preemption, the time limit. USR2: `--signal=B:USR2@…`, sent before the limit.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)

# The longest time that poll(2) is asked to wait; the loop then waits again.
LONGEST_S = 86400.0

T = TypeVar("T")
NEVER = float("inf")


class Wait(NamedTuple):
    """What a step waits for. Every signal wakes it as well: a child may have ended."""

    # The time on the runner's clock at which it continues in any case.
    until: float = NEVER
    # A descriptor that becomes readable; -1 for none.
    descriptor: int = -1


Steps = Generator[Wait, None, T]
# Does what is due; returns the time of its next call.
Timer = Callable[[], float]


# Seconds by which a signal may precede the time expected by this process: the job starts before
# its script, and Slurm sends the warning up to 60 s early (22.05).
START_DELAY_S, WARNING_EARLY_S = 30.0, 60.0


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


def process_age_s() -> float:
    """Seconds since the start of this process, which began as the batch shell.

    Without /proc: since the import of this module.
    """
    try:
        # proc(5): field 22 counts ticks since the boot; field 2 may contain anything.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - _IMPORTED


_IMPORTED = time.monotonic()


class Runner:
    """Owns the clock, the signals, and the only call that blocks."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, limit: TimeLimit | None = None
    ) -> None:
        """Install the signal handlers of the process."""
        self.clock = clock
        self._limit = limit
        self._signals = Signals()

    @property
    def stop_signal(self) -> str | None:
        """Name of the first stop signal that the worker received; None if it received none."""
        return self._signals.received

    @property
    def stop_reason(self) -> Reason:
        """The reason of the stop signal, as far as the worker can know."""
        name, age_s = self._signals.received, self._signals.age_s
        if name and self._limit and self._limit.explains(name, age_s):
            return Reason.TIMEOUT
        return Reason.TERMINATED

    def complete(self, steps: Steps[T], timers: Iterable[Timer] = ()) -> T:
        """Run one generator to its end. Returns its result."""
        return self.run([steps], timers)[0]

    def run(self, all_steps: Sequence[Steps[T]], timers: Iterable[Timer] = ()) -> list[T]:
        """Run all generators to their ends, concurrently, with timers. Returns their results.

        *Raises* the first exception of any; the others stop where they are.
        """
        results: dict[int, T] = {}
        waits = dict.fromkeys(range(len(all_steps)), Wait(until=self.clock()))
        while waits:
            # The deadline of every timer and step.
            deadlines = [timer() for timer in timers] + [wait.until for wait in waits.values()]
            descriptors = [wait.descriptor for wait in waits.values() if wait.descriptor >= 0]
            readable, signalled = self._signals.wait(descriptors, self._seconds_to(min(deadlines)))
            now = self.clock()
            for number, wait in list(waits.items()):
                if signalled or wait.descriptor in readable or wait.until <= now:
                    try:
                        waits[number] = next(all_steps[number])
                    except StopIteration as end:
                        results[number] = end.value
                        del waits[number]
        return [results[number] for number in range(len(all_steps))]

    def _seconds_to(self, deadline: float) -> float | None:
        """Seconds to a deadline; None for `NEVER`."""
        return None if deadline == NEVER else max(0.0, deadline - self.clock())


class Signals:
    """The signal handlers of the process; the runner of a worker has the only instance."""

    def __init__(self) -> None:
        # Name of the first stop signal, e.g. "SIGTERM".
        self.received: str | None = None
        # The age of this process by then.
        self.age_s = 0.0
        self._wake, wakeup = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received, self.age_s = signal.Signals(number).name, process_age_s()

    def wait(self, descriptors: Collection[int], timeout_s: float | None) -> tuple[list[int], bool]:
        """Wait until a descriptor is readable, a signal arrives, or the timeout expires.

        Returns the readable descriptors, and whether a signal arrived.
        """
        # Not select(2): the slots of a large node have more descriptors than it knows.
        poll = select.poll()
        for descriptor in (self._wake, *descriptors):
            poll.register(descriptor, select.POLLIN)
        timeout_ms = None if timeout_s is None else math.ceil(1000 * min(timeout_s, LONGEST_S))
        ready = [descriptor for descriptor, _ in poll.poll(timeout_ms)]
        if self._wake not in ready:
            return ready, False
        ready.remove(self._wake)
        try:
            while os.read(self._wake, 512):
                pass
        except BlockingIOError:
            pass
        return ready, True


def reset_signals() -> None:
    """Restore the default signal handlers in a forked child."""
    signal.set_wakeup_fd(-1)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
