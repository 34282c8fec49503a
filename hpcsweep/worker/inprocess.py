"""Run all cases of a task in one process: that of a child which cannot be forked."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import Any

from hpcsweep.usage import cpu_seconds
from hpcsweep.worker import streams
from hpcsweep.worker.function import encode_answer
from hpcsweep.worker.inherited import RandomStates
from hpcsweep.worker.messages import ChildChannel, Work, send_reply
from hpcsweep.worker.restore import StateRestorer


class InProcess:
    """Runs all cases in the child itself, and restores the state between them."""

    def __init__(
        self, channel: ChildChannel, random_states: RandomStates, obstacles: list[str], root: Path
    ) -> None:
        os.close(channel.pid_file)
        self._channel, self._me = channel, os.getpid()
        self._restorer = StateRestorer(random_states, obstacles, root, channel.task_stderr)

    def run(self, work: Work, request: dict[str, Any]) -> None:
        """Run a case; send its answer and its usage."""
        self._restorer.restore()
        streams.reopen()
        _reset_peak_memory()
        before = cpu_seconds()
        answer = work.run(request)
        if os.getpid() != self._me:
            os._exit(0)
        streams.flush()
        fields = {
            "status": None,
            "cpu_seconds": cpu_seconds() - before,
            "max_rss_bytes": _peak_memory(),
        }
        send_reply(self._channel.replies, self._channel.token, fields, encode_answer(answer))
        self._restorer.warn_of_changes()


def _reset_peak_memory() -> None:
    # proc(5): 5 resets the peak resident set size. Otherwise it is the process's peak so far.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
