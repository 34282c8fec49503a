"""Signals of the worker: told to end, or a child ended; both wake the one place that waits."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType

# TERM: scancel, preemption, the time limit. USR2: `--signal=B:USR2@…`, sent before the limit.
TOLD_TO_END = (signal.SIGTERM, signal.SIGUSR2)


class Signals:
    """Takes over the process's signal handlers; there is one in a worker."""

    def __init__(self) -> None:
        # Name of the first signal that told the worker to end, e.g. "SIGTERM".
        self.told: str | None = None
        self._wake, wakeup = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in TOLD_TO_END:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.told = self.told or signal.Signals(number).name

    def wait(self, descriptors: Iterable[int], timeout_s: float | None) -> list[int]:
        """Wait until a descriptor is readable, a signal came, or the time is over.

        Returns the readable descriptors.
        """
        ready, _, _ = select.select([self._wake, *descriptors], [], [], timeout_s)
        if self._wake in ready:
            ready.remove(self._wake)
            try:
                while os.read(self._wake, 512):
                    pass
            except BlockingIOError:
                pass
        return ready


def default_in_child() -> None:
    """Give a forked child the signals of an ordinary process."""
    signal.set_wakeup_fd(-1)
    for number in (*TOLD_TO_END, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
