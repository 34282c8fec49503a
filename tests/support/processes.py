"""Find the processes of a private cluster by their files and environment, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.wait import wait_until

PROC = Path("/proc")


def owned_by(directory: Path) -> dict[int, str]:
    """Command lines by process id of everything that runs out of `directory`.

    A process belongs to it when its command line or an open file names the directory, when its
    environment has the directory's `SLURM_CONF`, or when its parent belongs to it: a slurmstepd
    and a job leave their daemon's session, and a job may clear its environment. The caller and
    its ancestors never belong.
    """
    return _with_children(lambda pid: _names(pid, directory))


def owned_by_node(directory: Path, node: str) -> dict[int, str]:
    """The part of `owned_by` that runs on one node: its slurmd, its steps and their jobs."""
    log = str(directory / f"slurmd.{node}.log")
    conf = f"SLURM_CONF={directory}/slurm.conf".encode()
    name = f"SLURMD_NODENAME={node}".encode()

    def on_node(pid: int) -> bool:
        return log in _open_files(pid) or {conf, name} <= _environment(pid)

    return _with_children(on_node)


def _with_children(belongs: Callable[[int], bool]) -> dict[int, str]:
    parents = {pid: parent for pid in _pids() if (parent := _parent(pid)) is not None}
    spared = set(_ancestors(os.getpid(), parents))
    roots = {pid for pid in parents if pid not in spared and belongs(pid)}
    return {
        pid: _command_line(pid)
        for pid in parents
        if pid not in spared and not roots.isdisjoint(_ancestors(pid, parents))
    }


def kill_owned(directory: Path, timeout_s: float = 20) -> None:
    """SIGKILL all that belongs to `directory`, until two scans in a row find nothing."""
    quiet = 0

    def gone() -> bool | str:
        nonlocal quiet
        pids = owned_by(directory)
        for pid in pids:
            kill(pid)
        quiet = 0 if pids else quiet + 1
        return quiet >= 2 or str(pids)

    wait_until(gone, timeout_s, f"no process of {directory}")


def kill(pid: int) -> None:
    """SIGKILL one process. *Safe to repeat.*"""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def _names(pid: int, directory: Path) -> bool:
    if f"{directory}/".encode() in _read(pid, "cmdline"):
        return True
    if f"SLURM_CONF={directory}/slurm.conf".encode() in _environment(pid):
        return True
    return any(name.startswith(f"{directory}/") for name in _open_files(pid))


def _environment(pid: int) -> set[bytes]:
    return set(_read(pid, "environ").split(b"\0"))


def _open_files(pid: int) -> set[str]:
    files: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                files.add(str(entry.readlink()))
    return files


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        yield pid
        pid = parents[pid]


def _parent(pid: int) -> int | None:
    """The parent of a process; None for one that is gone or only waits to be waited for."""
    # The name in parentheses may hold anything, so the fields are counted from the last one.
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields and fields[0] not in (b"Z", b"X") else None


def _command_line(pid: int) -> str:
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
