"""The callable that submitit runs for one chunk: a checkpointable wrapper of the array's script."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from submitit import JobEnvironment
from submitit.helpers import Checkpointable, DelayedSubmission

from hpcsweep.files import PRIVATE_FILE, try_lock
from hpcsweep.records import EXIT_STOPPED

# Seconds between two polls for a free slot.
POLL_S = 0.2


@dataclass(kw_only=True)
class Chunk(Checkpointable):
    """Runs the array's script on one chunk, like Slurm's batch shell.

    The script's last command is `exec` of the worker, so signals to the script's process reach the
    worker. A start after a checkpoint, or after a requeue by the scheduler, is a later restart of
    the chunk: it does not recompute what the worker journaled.
    """

    # The array's script, and its working directory.
    script: str
    directory: str
    # The array's job id; the numbers of the part, and of the chunk in the part and in the plan.
    job_id: str | None
    part: int
    element: int
    chunk: int
    # Slot files, one of which a chunk must lock to run on an executor without a queue; else empty.
    slots: tuple[str, ...] = ()
    # Process id of the script, until it has ended.
    _pid: int | None = field(default=None, repr=False)
    # The previous handler of SIGTERM.
    _before: Any = field(default=None, repr=False)

    def __call__(self) -> None:
        """Run the chunk. Exits with the worker's exit code after a stop signal.

        *Raises* RuntimeError if the worker failed.
        """
        self._before = signal.signal(signal.SIGTERM, self._forward)
        slot = self._slot()
        try:
            code = self._run()
        finally:
            signal.signal(signal.SIGTERM, self._before)
            if slot is not None:
                os.close(slot)
        if code == EXIT_STOPPED:
            sys.exit(code)  # without a result, so that the scheduler may requeue it
        if code:
            raise RuntimeError(f"the script of chunk {self.chunk} ended with {code}")

    def checkpoint(self) -> DelayedSubmission:
        """Stop the worker, which completes its journal. Returns this chunk, to be resubmitted.

        submitit calls it in its signal handler, while the chunk runs.
        """
        if self._pid is not None:
            os.kill(self._pid, signal.SIGUSR2)
            _await(self._pid)
        return DelayedSubmission(replace(self, _pid=None, _before=None))

    def _run(self) -> int:
        argv = ["bash", self.script, str(self.part), "--start", json.dumps(self._start())]
        with subprocess.Popen(argv, cwd=self.directory, stdin=subprocess.DEVNULL) as process:
            self._pid = process.pid
            try:
                _await(process.pid)
            finally:
                self._pid = None
        return process.returncode

    def _start(self) -> dict[str, Any]:
        """This start of the chunk, as the fields of the worker's `Start`; the worker counts it."""
        environment = JobEnvironment()
        return {
            "array_task_id": self.element,
            "array_job_id": self.job_id or environment.array_job_id or environment.job_id,
            "job_id": environment.job_id,
            "cluster": f"submitit:{environment.cluster}",
            "node": environment.hostname,
        }

    def _forward(self, number: int, frame: FrameType | None) -> None:
        """Forward the signal to the worker, then call the previous handler (submitit's)."""
        if self._pid is None:
            sys.exit(EXIT_STOPPED)
        os.kill(self._pid, number)
        before: Callable[[int, FrameType | None], Any] | int | None = self._before
        if callable(before):
            before(number, frame)

    def _slot(self) -> int | None:
        """Wait for a free slot. Returns the descriptor that holds it."""
        is_reported = False
        while self.slots:
            for path in self.slots:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
                if try_lock(descriptor) is not False:  # None: there are no locks here
                    return descriptor
                os.close(descriptor)
            if not is_reported:
                sys.stdout.write(f"hpcsweep: waiting for one of {len(self.slots)} slots\n")
                sys.stdout.flush()
                is_reported = True
            time.sleep(POLL_S)
        return None


def _await(pid: int) -> None:
    """Wait until a child has ended, without reaping it: two calls may run at the same time."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
