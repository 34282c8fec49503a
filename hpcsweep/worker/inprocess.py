"""Run all cases of a slot in one process: by `isolation: task`, or because it cannot be forked."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import Any

from hpcsweep.usage import cpu_seconds
from hpcsweep.worker import streams
from hpcsweep.worker.cgroup import read_kernel_file
from hpcsweep.worker.function import encode_answer
from hpcsweep.worker.inherited import RandomStates, kill_orphans, own_children
from hpcsweep.worker.messages import ChildChannel, Work, send_reply
from hpcsweep.worker.restore import ModuleValues, ProcessState


class InProcess:
    """Runs all cases in the child itself, and restores the state between them."""

    def __init__(
        self, channel: ChildChannel, random_states: RandomStates, obstacles: list[str], root: Path
    ) -> None:
        """`obstacles`: why the process cannot be forked; empty if the user wants to share it.

        With obstacles the values of the user's modules are restored as well.
        """
        os.close(channel.pid_file)
        self._channel, self._me = channel, os.getpid()
        self._kept = own_children()
        self._process = ProcessState(random_states)
        self._values = ModuleValues(obstacles, root, channel.task_stderr) if obstacles else None

    def run(self, work: Work, request: dict[str, Any]) -> None:
        """Run a case; send its answer and its usage."""
        streams.reopen()
        _reset_peak_memory()
        before = cpu_seconds()
        answer = work.run(request)
        if os.getpid() != self._me:
            os._exit(0)
        streams.flush()
        kill_orphans(self._kept)
        fields = {
            "status": None,
            "cpu_seconds": cpu_seconds() - before,
            "max_rss_bytes": _peak_memory(),
        }
        send_reply(self._channel.replies, self._channel.token, fields, encode_answer(answer))
        self._process.restore()
        if self._values is not None:
            self._values.restore()
            self._values.warn_of_changes()


def _reset_peak_memory() -> None:
    # proc(5): 5 resets the peak resident set size. Otherwise it is the process's peak so far.
    with contextlib.suppress(OSError):
        descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(descriptor, b"5")
        finally:
            os.close(descriptor)


def _peak_memory() -> int:
    """Bytes of the peak resident set size since it was reset."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = read_kernel_file("/proc/self/status")
        return int(status.split("VmHWM:", 1)[1].split(maxsplit=1)[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
