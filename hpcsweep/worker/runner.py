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
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from types import FrameType
from typing import NamedTuple, TypeVar

from hpcsweep.records import Reason
from hpcsweep.worker.timelimit import TimeLimit, process_age_s

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


class Runner:
    """Owns the clock, the signals, and the only call that blocks."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, limit: TimeLimit | None = None
    ) -> None:
        """Install the signal handlers of the process."""
        self.clock = clock
        # None: not known.
        self.limit = limit
        # Seconds from USR2 to TERM when Slurm preempts a job and tells it so
        # (SlurmctldParameters=preempt_send_user_signal): GraceTime of the partition or QOS.
        self.preempt_grace_s = 0.0
        self._signals = Signals()
        # From when on each stop signal ends the running cases, in the order of their arrival.
        self._stop_at: dict[str, float] = {}
        # Name of the stop signal that ends them; None as long as they may run.
        self.stop_signal: str | None = None

    @property
    def signals(self) -> Collection[str]:
        """The names of the stop signals that arrived."""
        return self._signals.received.keys()

    @property
    def is_warned(self) -> bool:
        """Whether a stop signal arrived: no further case begins."""
        return bool(self._signals.received)

    @property
    def is_terminated(self) -> bool:
        """Whether TERM arrived: Slurm ends the job, and nothing that it is asked keeps it."""
        return signal.SIGTERM.name in self._signals.received

    @property
    def stop_reason(self) -> Reason:
        """The reason of the stop signal, as far as the worker can know."""
        name = self.stop_signal
        if name and self.limit and self.limit.explains(name, self._signals.received[name]):
            return Reason.TIMEOUT
        return Reason.TERMINATED

    def grace_s(self, term_grace_s: float) -> float:
        """Seconds that a case has to end by itself; `term_grace_s` after TERM or without a signal.

        After USR2 there is more time until Slurm sends TERM.
        """
        name = self.stop_signal
        if name is None or self.is_terminated:
            return term_grace_s
        if self.limit and self.limit.explains(name, self._signals.received[name]):
            return max(term_grace_s, self.limit.saving_s)
        return max(term_grace_s, self.preempt_grace_s)

    def _note_stops(self) -> float:
        """Note the stop signals by now. Returns when the first of them ends the running cases.

        NEVER as soon as the steps were told.
        """
        if self.stop_signal is not None:
            return NEVER
        now = self.clock()
        for name, age_s in self._signals.received.items():
            grace_s = self.limit.grace_s(name, age_s) if self.limit else 0.0
            self._stop_at.setdefault(name, now + grace_s)
        self.stop_signal = next((name for name, at in self._stop_at.items() if at <= now), None)
        return min(self._stop_at.values(), default=NEVER)

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
            stops_at = self._note_stops()
            deadline = min(*deadlines, stops_at)
            readable, signalled = self._signals.wait(descriptors, self._seconds_to(deadline))
            stops_at = min(stops_at, self._note_stops())
            now = self.clock()
            signalled = signalled or stops_at <= now
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
        # The age of this process when it received each stop signal first, by its name, "SIGTERM".
        self.received: dict[str, float] = {}
        self._wake, wakeup = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received.setdefault(signal.Signals(number).name, process_age_s())

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
