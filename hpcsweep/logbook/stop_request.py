"""The request to a case to save its state and end: TERM, which otherwise kills it at once.

Slurm sends TERM to every process of a job before it kills them; the worker sends it to a case
before the time limit, and when the job is to give way.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from hpcsweep.records import IN_TASK


class StopRequest:
    """Whether this process of an array task received TERM since `listen`."""

    def __init__(self) -> None:
        self.is_received = False
        self._before: Callable[[int, FrameType | None], Any] | int | None = signal.SIG_DFL
        # The signals that were blocked when a fork began.
        self._mask: set[int] = set()
        self._watches_forks = False

    def listen(self) -> None:
        """Handle TERM from now on, in a task. A handler of the user's code is still called.

        *Safe to repeat.* Outside of the main thread TERM kills the process, as Python handles no
        signal there.
        """
        if IN_TASK not in os.environ or self._is_listening:
            return
        with contextlib.suppress(ValueError):
            self._before = signal.signal(signal.SIGTERM, self._receive)
            self.is_received = False
            if not self._watches_forks:
                os.register_at_fork(
                    before=self._block, after_in_parent=self._unblock, after_in_child=self._forget
                )
                self._watches_forks = True

    @property
    def _is_listening(self) -> bool:
        return signal.getsignal(signal.SIGTERM) == self._receive

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.is_received = True
        if callable(self._before):
            self._before(number, frame)

    # A pool ends its processes by TERM, so they must die of it. Python forgets the signals that a
    # fork receives before its first line of code; blocked ones arrive later.

    def _block(self) -> None:
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _forget(self) -> None:
        if self._is_listening:
            signal.signal(signal.SIGTERM, self._before)
            self.is_received = False
        self._unblock()


stop_request = StopRequest()
