"""One of Slurm's programs at work beside the cases of a task; nothing waits for it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from hpcsweep.worker.child import anonymous_file
from hpcsweep.worker.runner import Steps, Wait

# Seconds between two looks whether it has ended, and bytes of its output that are read.
POLL_S, OUTPUT_MAX = 0.5, 1000


class ProgramAnswer(NamedTuple):
    """How a program ended, and what it wrote."""

    # None: it could not be started, or did not end in time.
    exit_code: int | None
    # The first `OUTPUT_MAX` bytes of standard output and standard error.
    stdout: str
    stderr: str


class SlurmProgram:
    """A program that was started; it ends by itself or is killed after a time."""

    def __init__(self, argv: list[str], clock: Callable[[], float], timeout_s: float) -> None:
        self._clock, self._deadline = clock, clock() + timeout_s
        self._pid, self._exit_code = 0, None
        self._outputs: list[int] = []
        with contextlib.suppress(OSError):  # it is missing, or there are too many processes
            self._outputs = [anonymous_file(), anonymous_file()]
            actions = [(os.POSIX_SPAWN_DUP2, file, to) for to, file in enumerate(self._outputs, 1)]
            self._pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)

    def answer(self) -> ProgramAnswer | None:
        """Its answer; None as long as it runs."""
        if self._pid:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if not pid and self._clock() < self._deadline:
                return None
            if not pid:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            self._pid, code = 0, os.waitstatus_to_exitcode(status) if pid else None
            return self._close(code)
        return self._close(None)

    def run(self) -> Steps[ProgramAnswer]:
        """Wait for its answer. Every signal wakes the runner, that of its end, too."""
        while (answer := self.answer()) is None:
            yield Wait(until=self._clock() + POLL_S)
        return answer

    def _close(self, exit_code: int | None) -> ProgramAnswer:
        texts = [os.pread(file, OUTPUT_MAX, 0).decode(errors="replace") for file in self._outputs]
        for file in self._outputs:
            os.close(file)
        self._outputs = []
        stdout, stderr = (text.strip() for text in (*texts, "", "")[:2])
        return ProgramAnswer(exit_code, stdout, stderr)
