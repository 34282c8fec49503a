"""The processes below this one: who they are, what they use, and how to end them. By /proc.

Loaded where a case left processes behind, and for the heartbeats of a task.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hpcsweep.worker.cgroup import read_kernel_file

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcessUsage(NamedTuple):
    """What processes use."""

    # User and system, with the children that they have waited for.
    cpu_seconds: float
    # Resident now; memory that they share is counted once.
    memory_bytes: int


class _Stat(NamedTuple):
    """Some fields of /proc/PID/stat, see proc(5)."""

    state: str
    group: int
    session: int
    cpu_seconds: float


def children(pid: int) -> list[int]:
    """The children of a process, also those that ended and were not waited for."""
    listed: list[int] = []
    with contextlib.suppress(OSError):  # it has just ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # so has the thread, or the kernel has no such file
                listed += complete(read_kernel_file(thread / "children"))
    return listed


def complete(text: str) -> list[int]:
    """The process ids of a list of which a part was read: each ends with a space."""
    return [int(pid) for pid in text[: text.rfind(" ") + 1].split()]


def tree(roots: Iterable[int]) -> Iterator[int]:
    """Processes and all their descendants, each before its own."""
    waiting = list(roots)
    while waiting:  # not by recursion: a chain of forks may be longer than Python allows
        pid = waiting.pop()
        yield pid
        waiting += children(pid)


def usage(roots: Iterable[int]) -> ProcessUsage:
    """What these processes and their descendants use; those that just ended count nothing."""
    cpu_seconds, own, shared = 0.0, 0, [0]
    for pid in tree(roots):
        with contextlib.suppress(OSError, ValueError, IndexError):
            cpu_seconds += _stat(pid).cpu_seconds
            resident, common = map(int, read_kernel_file(f"/proc/{pid}/statm").split()[1:3])
            own += resident - common
            shared.append(common)
    return ProcessUsage(cpu_seconds, _PAGE * (own + max(shared)))


def _stat(pid: int) -> _Stat:
    """*Raises* OSError if there is no such process."""
    fields = read_kernel_file(f"/proc/{pid}/stat").rpartition(")")[2].split()
    ticks = sum(map(int, fields[11:15]))
    return _Stat(fields[0], int(fields[2]), int(fields[3]), ticks / _TICKS)


# --- what a case left behind ----------------------------------------------------------------------


def kill_children(is_left: Callable[[int], bool] = lambda _: True) -> float:
    """Kill all children that `is_left` names, their descendants, and those that come meanwhile.

    Returns the CPU seconds that these children have used. Needs `adopt_orphans` before them.
    """
    # A process that a signal waits for cannot fork, and who was forked just before becomes our
    # child when its parent is dead. So a fork bomb comes to an end.
    cpu_seconds = 0.0
    foreign: set[int] = set()  # of another user, by a setuid program
    while left := [pid for pid in children(os.getpid()) if pid not in foreign and is_left(pid)]:
        for pid in tree(left):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:
                foreign.add(pid)
        for pid in set(left) - foreign:
            with contextlib.suppress(ChildProcessError):
                _, _, used = os.wait4(pid, 0)
                cpu_seconds += used.ru_utime + used.ru_stime
    return cpu_seconds


def kill_left_of(marker: bytes, group: int) -> float:
    """Kill what a command left behind that has an entry of its environment, or its process group.

    Daemons of a command have left its group and its session, but not the environment that it was
    executed with. Also waits for the daemons of any command that have ended. Returns their CPU
    seconds.
    """
    session = os.getsid(0)

    def is_left(pid: int) -> bool:
        try:
            stat = _stat(pid)
            if stat.state == "Z":
                return group == stat.group or session != stat.session
            return group == stat.group or marker in _environment(pid)
        except (OSError, ValueError, IndexError):
            return False

    return kill_children(is_left)


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
