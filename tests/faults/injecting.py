"""Kills, errors, stale views, deaf locks and wrong clocks at exact calls of a program under test.

`shim.c` does it, as a library that is loaded before the C library's own functions. It counts the
calls that a program makes below some directories, in the order in which they are made, so the n-th
of a run is the n-th of every run that does the same.
"""

from __future__ import annotations

import errno
import functools
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.requirements import require

SOURCE = Path(__file__).parent / "shim.c"
# Calls that change files, or wait for the disk.
CHANGES = (
    *("create", "write", "truncate", "fsync", "mkdir", "rmdir", "unlink"),
    *("rename", "link", "chmod", "utime"),
)
READS = ("open", "read", "list", "stat")
PROCESSES = ("fork", "pipe")
# The mounts of a host whose file systems are all remote.
NETWORK = "1 0 0:1 / / rw shared:1 - nfs4 server:/ rw\n"
_ALWAYS = 1 << 30


@dataclass(frozen=True, slots=True)
class Call:
    """One call that counted."""

    pid: int
    # Whether its process was forked from the program, without another exec.
    forked: bool
    # 1 for the first of its process.
    number: int
    name: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A fault, and the programs and calls that it strikes."""

    # Directories whose calls count.
    roots: tuple[Path, ...]
    calls: Iterable[str] = CHANGES
    # On the command line, as of fnmatch(3).
    program: str = "*"
    # self: processes as they were started; forked: their forks alone; None: both.
    role: str | None = None
    # The first of the calls that is struck; 0: none, they are only recorded.
    at: int = 0
    # Whether all later calls of all processes are struck, too; otherwise one call of one process.
    on: bool = False
    # The error that a struck call ends with, by its name; without one the process is killed.
    error: str | None = None
    # The host that this is one of. It does not see what others made after the time of the file
    # `fresh_at`; as long as there is none, nothing of theirs.
    host: str | None = None
    fresh_at: Path | None = None
    # Locks are the host's own, and each command is on another one.
    local_locks: bool = False
    clock_s: int = 0
    # What the system says is mounted, see NETWORK.
    mounts: Path | None = None

    def variables(self, log: Path) -> dict[str, Any]:
        """The variables for a program and all that inherits them; `log` gets what is struck."""
        assert not any(":" in str(root) for root in self.roots), f"no call counts in {self.roots}"
        found: dict[str, object] = {
            "LD_PRELOAD": library(),
            "FAULT_ROOTS": ":".join(str(root) for root in self.roots),
            "FAULT_CALLS": f",{','.join(self.calls)},",
            "FAULT_PROGRAM": self.program,
            "FAULT_ROLE": self.role,
            "FAULT_AT": self.at,
            "FAULT_UNTIL": _ALWAYS if self.on else self.at,
            "FAULT_MARK": None if self.on else f"{log}.struck",
            "FAULT_LOG": log,
            "FAULT_ERRNO": getattr(errno, self.error) if self.error else 0,
            "FAULT_HOST": self.host,
            "FAULT_FRESH_AT": self.fresh_at,
            "FAULT_LOCAL_LOCKS": self.local_locks or None,
            "FAULT_CLOCK": self.clock_s,
            "FAULT_MOUNTS": self.mounts,
        }
        return {name: str(value) for name, value in found.items() if value is not None}


@functools.cache
def library() -> Path:
    """The shim, built once for this process. Skips where there is no compiler, but not in CI."""
    require("gcc", "" if shutil.which("gcc") else "needs gcc: apt-get install gcc")
    path = Path(tempfile.mkdtemp(prefix="shim-", dir="/tmp")) / "shim.so"
    argv = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-ldl"]
    subprocess.run(argv, check=True, capture_output=True, text=True)
    return path


def calls_in(log: Path) -> list[Call]:
    """The calls that counted, or were struck, in the order in which they were made."""
    if not log.exists():
        return []
    rows = [line.split("\t", 4) for line in log.read_text(errors="replace").splitlines()]
    return [
        Call(int(pid), role == "forked", int(n), name, path) for pid, role, n, name, path in rows
    ]


def some_of(count: int, wanted: int, turn: int) -> list[int]:
    """At most `wanted` of the numbers 1 … count, evenly; another `turn`, other ones."""
    if not wanted:
        return []
    step = max(1, -(-count // wanted))
    return list(itertools.islice(range(1 + turn % step, count + 1, step), wanted))
