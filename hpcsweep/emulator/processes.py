"""Find and signal the processes of a job.

A job's processes are the batch shell's session and all descendants of its members: a child with a
session of its own is still a descendant, and one whose parent died is still in the session. A
process that escapes both survives, like with Slurm's proctrack/linuxproc. Only the failure of a
whole node (`marked`) also searches environments. Without /proc, the process group is used.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
HAS_PROC = (_PROC / "self" / "stat").exists()


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table."""

    pid: int
    parent: int
    session: int
    # Clock ticks from boot to its start; with the pid it identifies a process uniquely.
    birth: int


def find(pid: int) -> Process | None:
    """The live process with this id; None if there is none or it is a zombie."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command name may contain spaces and parentheses; the fields after the last `)` do not.
    words = text[text.rindex(b")") + 2 :].split()
    if words[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(words[1]), int(words[3]), int(words[19]))


def _table() -> list[Process]:
    """All live processes except this one: a scheduler is not part of the job that started it."""
    pids = {int(name) for name in os.listdir(_PROC) if name.isdigit()} - {os.getpid()}
    return [process for pid in pids if (process := find(pid))]


def of_job(pid: int, birth: int) -> list[Process]:
    """The processes of the job whose batch shell is or was `pid`; the shell first."""
    if not pid:
        return []
    if not HAS_PROC:
        return [group] if is_alive(group := Process(-pid, 0, pid, birth)) else []
    table = [process for process in _table() if process.birth >= birth]
    if any(process.pid == pid and process.birth != birth for process in table):
        return []  # the process id was reused
    pids = {process.pid for process in table if process.session == pid}
    while more := {process.pid for process in table if process.parent in pids} - pids:
        pids |= more
    return sorted(
        (process for process in table if process.pid in pids),
        key=lambda process: process.pid != pid,
    )


def below(parent: Process) -> list[Process]:
    """All descendants of a process."""
    table = _table()
    pids: set[int] = set()
    while (
        more := {process.pid for process in table if process.parent in pids | {parent.pid}} - pids
    ):
        pids |= more
    return [process for process in table if process.pid in pids]


def resident(pid: int) -> int:
    """Resident bytes of a process, with shared pages counted fully."""
    try:
        return int((_PROC / str(pid) / "statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def proportional(pid: int) -> int:
    """Resident bytes with each shared page divided by its users (PSS); slower to read."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return resident(pid)
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def cpu_ticks(pid: int) -> int:
    """Processor time of a process, in clock ticks."""
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return 0
    words = text[text.rindex(b")") + 2 :].split()
    return int(words[11]) + int(words[12])


def is_alive(process: Process) -> bool:
    """Whether this process still runs, and its id was not reused."""
    if HAS_PROC:
        seen = find(process.pid)
        return seen is not None and seen.birth == process.birth
    try:
        os.kill(process.pid, 0)
    except OSError:
        return False
    return True


def marked(marks: Iterable[bytes]) -> list[Process]:
    """The processes whose environment contains all of `marks`, each `NAME=value`."""
    if not HAS_PROC:
        return []
    entries = {mark + b"\0" for mark in marks}
    processes = []
    for name in os.listdir(_PROC):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):  # another user's, or gone
                text = b"\0" + (_PROC / name / "environ").read_bytes()
                if all(b"\0" + mark in text for mark in entries) and (seen := find(int(name))):
                    processes.append(seen)
    return processes


def send(members: Iterable[Process], *signals: int) -> None:
    """Send each signal in turn to each process that is still alive."""
    alive = [member.pid for member in members if is_alive(member)]
    for number in signals:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def boot_id() -> str:
    """The id of this boot of the machine: process ids of earlier boots are meaningless."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
