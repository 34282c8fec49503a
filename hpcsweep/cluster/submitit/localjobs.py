"""The jobs of submitit's local executor, as seen by a process that did not start them.

Each is a controller process whose id is the job's, with the folder on its command line. submitit
itself only knows those that it has started in the same process.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

# All jobs of a submission start at once, two processes each; those beyond the slots wait.
JOBS_MAX = 64
# Seconds that cancelled jobs may take to end, and between two words to them.
END_S = 20.0
AGAIN_S = 0.5
_PROGRAMS = (b"submitit.local._local", b"submitit.core._submit")


def slots(directory: Path, throttle: int, cpus_per_task: str) -> tuple[str, ...]:
    """The files of which a chunk locks one to run: as many as there are CPUs for, or fewer."""
    count = max(1, len(os.sched_getaffinity(0)) // int(cpus_per_task))
    if throttle:
        count = min(count, throttle)
    return tuple(str(directory / f".slot-{number}") for number in range(count))


def states(folder: Path, ids: list[str]) -> dict[int, str]:
    """The elements whose controller lives.

    Without ids, of a submission that was killed while it handed in, all of them while any lives.
    """
    alive = processes(folder)
    if not ids:
        return dict.fromkeys(range(JOBS_MAX), "RUNNING") if alive else {}
    return {element: "RUNNING" for element, job_id in enumerate(ids) if int(job_id) in alive}


def processes(folder: Path) -> set[int]:
    """The controllers and tasks of a folder that live on this host."""
    mark = os.fsencode(folder)
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended, or is somebody else's
                continue
            if mark in arguments and any(program in arguments for program in _PROGRAMS):
                found.add(int(entry.name))
    return found


def end(folder: Path) -> bool:
    """Tell all jobs of a folder to end, and wait until they have. Returns whether they did.

    A controller passes the word on; what a task in its first moment overlooks is said again.
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
        time.sleep(AGAIN_S)
    return True
