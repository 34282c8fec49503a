"""The worker's way to the store: another program on its own journal, which it never waits on long.

So the database can neither fail nor delay a finished case (DESIGN section 2, step 9).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from hpcsweep.worker.signals import Signals


class Ingester:
    """Starts `hpcsweep.store.ingest` on one journal, one at a time."""

    def __init__(self, sweep: Path, journal: str, rules: dict[str, Any]) -> None:
        self._argv = [
            sys.executable,
            "-P",
            "-m",
            "hpcsweep.program",
            "hpcsweep.store.ingest",
            str(sweep),
            f"--journal={journal}",
            f"--deadline={rules['ingest_deadline_s']}",
        ]
        # False where the store lies on a network file system: a command ingests there.
        self._wanted: bool = rules["ingest"]
        self._interval_s: float = rules["ingest_interval_s"]
        self._deadline_s: float = rules["ingest_deadline_s"]
        self._begun = time.monotonic()
        self._pid = 0

    def now_and_then(self, now: float) -> None:
        """Start one if the last was long enough ago."""
        if self._wanted and not self._running() and now - self._begun >= self._interval_s:
            self._start()

    def last(self, signals: Signals) -> None:
        """Ingest what is left, and wait for that up to the deadline or a signal to end."""
        if not self._wanted:
            return
        self._wait(signals)
        self.kill()
        if not signals.told:
            self._start()
            self._wait(signals)
            self.kill()

    def kill(self) -> None:
        """End a running one: the journal has it all, a later command ingests it."""
        if self._running():
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            self._pid = 0

    def _start(self) -> None:
        self._begun = time.monotonic()
        with contextlib.suppress(OSError):  # no process to be had: a later command ingests
            self._pid = os.posix_spawn(sys.executable, self._argv, os.environ)

    def _running(self) -> bool:
        with contextlib.suppress(OSError):
            if self._pid and os.waitpid(self._pid, os.WNOHANG) != (0, 0):
                self._pid = 0
        return self._pid != 0

    def _wait(self, signals: Signals) -> None:
        while self._running() and not signals.told:
            left = self._begun + self._deadline_s - time.monotonic()
            if left <= 0:
                return
            signals.wait((), left)
