"""The memory cgroup of the task: its peak, and its count of OOM kills."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PROC, _MOUNT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_MOUNTS = Path("/proc/self/mountinfo")


def read_kernel_file(path: str | Path) -> str:
    """The content of a small file below /proc or /sys, by one read. *Raises* OSError."""
    # `Path.read_text` makes nine system calls of it, and is called for every case.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096).decode(errors="replace")
    finally:
        os.close(descriptor)


class MemoryCgroup:
    """The memory cgroup of this process, version 1 or 2, or none."""

    def __init__(
        self, *, events: Path | None = None, is_own: bool = False, peak_file: Path | None = None
    ) -> None:
        # The file with the count of processes that the kernel killed for memory.
        self.events = events
        # Whether all its processes belong to this job.
        self.is_own = is_own
        # The file with its peak in bytes, including file cache; None unless `is_own`.
        self._peak_file = peak_file
        # The peak as last read.
        self._peak = 0
        # The count of kills when one of them was last found to have ended a case.
        self._claimed = 0

    @classmethod
    def find(cls, job_id: str) -> MemoryCgroup:
        """The memory cgroup of this process. Slurm names it `…/job_<id>/step_batch/…`."""
        try:
            rows = [line.split(":", 2) for line in _PROC.read_text().splitlines()]
        except OSError:  # not Linux
            return cls()
        # Version 2 has no controllers in its line. If both are mounted, only one has memory.
        paths = {name: path for _, names, path in rows for name in names.split(",")}
        if "memory" in paths:
            directory = _directory(_MOUNT / "memory", paths["memory"])
            events, peak = "memory.oom_control", "memory.max_usage_in_bytes"
        else:
            directory = _directory(_MOUNT, paths.get("", ""))
            events, peak = "memory.events", "memory.peak"
        is_own = bool(job_id) and f"job_{job_id}" in directory.parts
        peak_file = directory / peak if is_own else None
        return cls(events=directory / events, is_own=is_own, peak_file=peak_file)

    def oom_kills(self) -> int:
        """Count of processes that the kernel killed for memory; 0 if unknown."""
        try:
            for row in read_kernel_file(self.events).splitlines() if self.events else ():
                name, _, value = row.partition(" ")
                if name == "oom_kill":
                    return int(value)
        except (OSError, ValueError):
            pass
        return 0

    def claim_kill(self, before: int, *, is_killed: bool) -> bool:
        """Whether a kill for memory, since their count was `before`, ended a case.

        The cases of all slots share the count. One of which the worker knows that it died of
        SIGKILL may have had any of the kills; another one only a kill that ended no case so far,
        and only among processes of this job.
        """
        kills = self.oom_kills()
        ours = kills > before if is_killed else self.is_own and kills > max(before, self._claimed)
        if ours:
            self._claimed = kills
        return ours

    def new_peak(self) -> int | None:
        """Its peak in bytes; None if it has not risen since the last call, or is unknown.

        Only root can reset the counter of Slurm's cgroups, so only a case that needs more memory
        than all cases before it has a number of its own.
        """
        if self._peak_file is None:
            return None
        try:
            peak = int(read_kernel_file(self._peak_file))
        except (OSError, ValueError):  # memory.peak exists since Linux 5.19
            return None
        is_new, self._peak = peak > self._peak, max(peak, self._peak)
        return peak if is_new else None


def _directory(mount: Path, path: str) -> Path:
    """Where a cgroup lies below its mount.

    A container has only its own part of the cgroups mounted (version 1), while the kernel names a
    process's cgroup from the root of all: slurmd in a container makes its cgroups in that part.
    """
    try:
        lines = _MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        root, point = line.split(" ", 5)[3:5]
        if point == str(mount):
            path = f"{path}/".removeprefix(f"{root}/")
    return mount / path.strip("/")


def requested_bytes(environment: Mapping[str, str]) -> int | None:
    """The memory that the job requested on this node; None if unknown, or all of the node."""
    try:
        if "SLURM_MEM_PER_NODE" in environment:
            megabytes = int(environment["SLURM_MEM_PER_NODE"])
        else:
            cpus = int(environment["SLURM_CPUS_ON_NODE"])
            megabytes = int(environment["SLURM_MEM_PER_CPU"]) * cpus
    except (KeyError, ValueError):
        return None
    return megabytes << 20 or None
