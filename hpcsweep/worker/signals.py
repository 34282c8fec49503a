"""Signals of the worker: asked to end, or a child ended; both wake the one place that waits."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection
from types import FrameType

# TERM: scancel, preemption, the time limit. USR2: `--signal=B:USR2@…`, sent before the limit.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR2)


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
