"""Ingest the task's journal by another program, with a deadline.

The database can neither fail nor delay a finished case (DESIGN section 2, step 9).
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.worker.runner import Runner, Steps, Wait


class Ingester:
    """Starts `hpcsweep.store.ingest` for one journal, one process at a time."""

    def __init__(
        self, python: str, sweep: Path, journal: str, rules: WorkerRules, runner: Runner
    ) -> None:
        """`journal`: relative to the sweep's journals; "" for all of them."""
        self._runner = runner
        self._argv = [
            python,
            "-P",
            "-m",
            "hpcsweep.program",
            "hpcsweep.store.ingest",
            str(sweep),
            f"--journal={journal}",
            f"--deadline={rules['ingest_deadline_s']}",
        ]
        # False if the index is on a network file system: a command ingests there.
        self._enabled: bool = rules["ingest"]
        self._interval_s: float = rules["ingest_interval_s"]
        self._deadline_s: float = rules["ingest_deadline_s"]
        self._begun = runner.clock()
        self._pid = 0

    def start_if_due(self) -> None:
        """Start an ingest if the interval since the last one has passed."""
        due = self._runner.clock() >= self._begun + self._interval_s
        if self._enabled and due and not self._is_running():
            self._start()

    def finish(self) -> Steps[None]:
        """Ingest the rest of the journal; wait for it until the deadline or a stop signal."""
        if not self._enabled:
            return
        yield from self._wait()
        self.kill()
        if not self._runner.stop_signal:
            self._start()
            yield from self._wait()
            self.kill()

    def kill(self) -> None:
        """Kill a running ingest; a later command ingests the journal again."""
        if self._is_running():
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            self._pid = 0

    def _start(self) -> None:
        self._begun = self._runner.clock()
        with contextlib.suppress(OSError):  # out of processes: a later command ingests
            self._pid = os.posix_spawn(self._argv[0], self._argv, os.environ)

    def _is_running(self) -> bool:
        with contextlib.suppress(OSError):
            if self._pid and os.waitpid(self._pid, os.WNOHANG) != (0, 0):
                self._pid = 0
        return self._pid != 0

    def _wait(self) -> Steps[None]:
        deadline = self._begun + self._deadline_s
        while self._is_running() and not self._runner.stop_signal:
            if self._runner.clock() >= deadline:
                return
            yield Wait(until=deadline)
