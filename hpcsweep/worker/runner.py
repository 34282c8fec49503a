"""The runner: the event loop of a worker, over the slots of its task.

What a slot does is a generator of *steps*: it runs until it has to wait, yields what it waits for,
and goes on when that has come. So each of them reads from top to bottom, and no case waits for
another one. Nothing else in a worker waits.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from types import FrameType
from typing import NamedTuple, TypeVar

# TERM: scancel, preemption, the time limit. USR2: `--signal=B:USR2@…`, sent before the limit.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)

T = TypeVar("T")
NEVER = float("inf")


class Wait(NamedTuple):
    """What a step waits for. Every signal wakes it as well: a child may have ended."""

    # The moment on the runner's clock at which it goes on in any case.
    until: float = NEVER
    # A descriptor with something to read; -1 for none.
    descriptor: int = -1


Steps = Generator[Wait, None, T]
# Does what is due; returns the moment at which it wants to be called again.
Timer = Callable[[], float]


class Runner:
    """Owns the clock, the signals, and the only call that blocks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes over the signal handlers of the process."""
        self.clock = clock
        self._signals = Signals()

    @property
    def stop_signal(self) -> str | None:
        """Name of the first signal that asked the worker to end; None as long as none did."""
        return self._signals.received

    def complete(self, steps: Steps[T], timers: Iterable[Timer] = ()) -> T:
        """Run one to its end. Returns what it returned."""
        return self.run([steps], timers)[0]

    def run(self, all_steps: Sequence[Steps[T]], timers: Iterable[Timer] = ()) -> list[T]:
        """Run all to their ends, side by side, with timers. Returns what each returned.

        *Raises* what the first one raises; the others stay where they are.
        """
        results: dict[int, T] = {}
        waits = dict.fromkeys(range(len(all_steps)), Wait(until=self.clock()))
        while waits:
            # For every timer and step the moment at which it must go on.
            moments = [timer() for timer in timers] + [wait.until for wait in waits.values()]
            descriptors = [wait.descriptor for wait in waits.values() if wait.descriptor >= 0]
            readable, signalled = self._signals.wait(descriptors, self._left(min(moments)))
            now = self.clock()
            for number, wait in list(waits.items()):
                if signalled or wait.descriptor in readable or wait.until <= now:
                    try:
                        waits[number] = next(all_steps[number])
                    except StopIteration as end:
                        results[number] = end.value
                        del waits[number]
        return [results[number] for number in range(len(all_steps))]

    def _left(self, moment: float) -> float | None:
        """Seconds until a moment; None for ever."""
        return None if moment == NEVER else max(0.0, moment - self.clock())


class Signals:
    """Takes over the process's signal handlers; the runner of a worker has the one instance."""

    def __init__(self) -> None:
        # Name of the first signal that asked the worker to end, e.g. "SIGTERM".
        self.received: str | None = None
        self._wake, wakeup = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._receive)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name

    def wait(self, descriptors: Collection[int], timeout_s: float | None) -> tuple[list[int], bool]:
        """Wait until a descriptor is readable, a signal came, or the time is over.

        Returns the readable descriptors, and whether a signal came.
        """
        ready, _, _ = select.select([self._wake, *descriptors], [], [], timeout_s)
        if self._wake not in ready:
            return ready, False
        ready.remove(self._wake)
        try:
            while os.read(self._wake, 512):
                pass
        except BlockingIOError:
            pass
        return ready, True


def default_in_child() -> None:
    """Give a forked child the signals of an ordinary process."""
    signal.set_wakeup_fd(-1)
    for number in (*STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
