"""The warning of the time limit, where the scheduler sends none: to the worker itself."""

from __future__ import annotations

import os
import signal

from hpcsweep.worker.runner import NEVER, Runner
from hpcsweep.worker.timelimit import process_age_s


class OwnWarning:
    """Sends this process USR2 when its cases have to save their state."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._is_sent = False

    def send_if_due(self) -> float:
        """Send the signal once, at the time of the warning. Returns when to call this again."""
        limit = self._runner.limit
        if limit is None or self._is_sent:
            return NEVER
        left_s = limit.left_s(process_age_s())
        if left_s > 0:
            return self._runner.clock() + left_s
        self._is_sent = True
        os.kill(os.getpid(), signal.SIGUSR2)
        return NEVER
