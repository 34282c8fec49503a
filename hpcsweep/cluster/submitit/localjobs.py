"""The jobs of submitit's local executor, for a process that did not start them.

The id of a job is the process id of its controller, which has the folder on its command line.
submitit itself only knows jobs that the same process started.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

# All jobs of a submission start at once, two processes each; those beyond the slots wait.
JOBS_MAX = 64
# Seconds that cancelled jobs may take to end, and between two signals to them.
END_S = 20.0
RESEND_S = 0.5
_PROGRAMS = (b"submitit.local._local", b"submitit.core._submit")


def slots(directory: Path, throttle: int, cpus_per_task: str) -> tuple[str, ...]:
    """The slot files, one of which a chunk locks to run: one per `cpus_per_task` CPUs, or fewer."""
    count = max(1, len(os.sched_getaffinity(0)) // int(cpus_per_task))
    if throttle:
        count = min(count, throttle)
    return tuple(str(directory / f".slot-{number}") for number in range(count))


def states(folder: Path, ids: list[str]) -> dict[int, str]:
    """The elements whose controller is alive.

    A submission that was killed halfway has no ids: then all elements count while any is alive.
    """
    alive = processes(folder)
    if not ids:
        return dict.fromkeys(range(JOBS_MAX), "RUNNING") if alive else {}
    return {element: "RUNNING" for element, job_id in enumerate(ids) if int(job_id) in alive}


def processes(folder: Path) -> set[int]:
    """The process ids of a folder's controllers and tasks on this host."""
    argument = os.fsencode(folder)
    pids = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended, or belongs to another user
                continue
            if argument in arguments and any(program in arguments for program in _PROGRAMS):
                pids.add(int(entry.name))
    return pids


def end(folder: Path) -> bool:
    """Send TERM to all jobs of a folder and wait for their end. Returns whether they ended.

    A controller forwards the signal to its task. A task that is just starting may miss it, so the
    signal is sent repeatedly.
    """
    deadline = time.monotonic() + END_S
    while alive := processes(folder):
        if time.monotonic() > deadline:
            return False
        for pid in alive:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        time.sleep(RESEND_S)
    return True
