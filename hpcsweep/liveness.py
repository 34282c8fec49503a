"""Whether the process of a run is alive, by its host, boot, process id and heartbeat."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from hpcsweep.records import Status

# Seconds between heartbeats; each sets the mtime of `metadata.json`.
BEAT_S = 30.0
# Seconds without a heartbeat after which a process on another host counts as dead.
SILENT_S = 600.0
# Seconds after which a directory without metadata is abandoned instead of under construction.
CLAIM_S = 10.0
# The statuses of a finished run.
ENDS = ("complete", "failed", "interrupted")


class HeartbeatRun(Protocol):
    """A run of this process that has a heartbeat."""

    @property
    def path(self) -> Path:
        """Its directory."""

    def __hash__(self) -> int: ...


@cache
def _process_fields(pid: int) -> dict[str, Any]:
    fields = {
        "host": os.uname().nodename,
        "pid": pid,
        "pid_started": _start_ticks(pid),
        "boot_id": _boot_id(),
    }
    return {name: value for name, value in fields.items() if value is not None}


def this_process() -> dict[str, Any]:
    """What identifies this process across hosts, boots and reused ids, as far as known here."""
    return dict(_process_fields(os.getpid()))


def is_alive(metadata: Mapping[str, Any], path: Path) -> bool | None:
    """Whether the process that wrote this `metadata.json` at `path` is alive; None if unknown."""
    pid = metadata.get("pid")
    if not isinstance(pid, int):  # written by another program, or damaged
        return None
    this = this_process()
    if metadata.get("host") == this["host"]:
        if metadata.get("boot_id") != this.get("boot_id"):
            return False
        if not _exists(pid):
            return False
        return bool(metadata.get("pid_started") == _start_ticks(pid))
    try:
        silent = time.time() - path.stat().st_mtime
    except OSError:
        return None
    return silent < SILENT_S


def is_running(process: Mapping[str, Any]) -> bool | None:
    """Whether a process of this kernel runs, by id and start time; None for another kernel's.

    `process` is the result of `this_process` there, plus its `pid_namespace`: hosts and
    containers may share a name.
    """
    this = this_process() | {"pid_namespace": pid_namespace()}
    pid = process.get("pid")
    # The boot id identifies a kernel, whatever its host name is.
    place = ("boot_id", "pid_namespace") if "boot_id" in this else ("host",)
    if not isinstance(pid, int) or any(process.get(key) != this.get(key) for key in place):
        return None
    return _exists(pid) and process.get("pid_started") == _start_ticks(pid)


def run_status(metadata: Mapping[str, Any] | None, path: Path) -> str:
    """The status of the run in `path`; `unknown` if it cannot be determined.

    A run without an end is `running` or, if its process is gone, `interrupted`.
    """
    status = (metadata or {}).get("status")
    if status != "initialized" and metadata:
        return str(status) if status in ENDS else Status.UNKNOWN.value
    alive = is_alive(metadata or {}, path / "metadata.json")
    if alive is None:
        alive = _seconds_silent(path) < (SILENT_S if metadata else CLAIM_S)
    return Status.RUNNING.value if alive else Status.INTERRUPTED.value


def _seconds_silent(path: Path) -> float:
    """Seconds since the last write to the log or the metadata of a run."""
    last = 0.0
    for name in ("log.txt", "metadata.json", ""):
        with contextlib.suppress(OSError):
            last = max(last, (path / name).stat().st_mtime)
    return time.time() - last


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _start_ticks(pid: int) -> str | None:
    """The start time of a process, in ticks since boot; distinguishes reused ids."""
    try:
        # proc(5): field 22; field 2 is a name in parentheses that may contain anything. Field 3
        # is the state: a zombie (Z, X) still has an entry.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZXx" else fields[19]
    except (OSError, IndexError):
        return None


def pid_namespace() -> str | None:
    """The namespace of this process's ids."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


# Up to 3.13.9 and in 3.14.0 (gh-137109), os.fork() also warns of a thread that a hook starts after
# the fork. This filter is in place from such a fork to the next one, which may deserve a warning.
_PYTHON = sys.version_info
_WARNS_OF_RESTART = (3, 13) <= _PYTHON < (3, 13, 10) or (3, 14) <= _PYTHON < (3, 14, 1)
_MULTI_THREADED = re.compile(r"This process \(pid=\d+\) is multi-threaded, use of fork")
_NO_FORK_WARNING = ("ignore", _MULTI_THREADED, DeprecationWarning, None, 0)


class Heartbeat:
    """A thread that sends the heartbeats of this process's runs; it stops without runs.

    The thread is stopped during a fork: since 3.12 Python warns of a fork beside a thread, and what
    such a thread does at that moment may block the child.
    """

    def __init__(self) -> None:
        # Runs that have not ended, while referenced elsewhere.
        self.runs: weakref.WeakSet[HeartbeatRun] = weakref.WeakSet()
        # Reentrant: a signal handler may run while this thread holds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        # Ends the thread that waits for it.
        self._stop = threading.Event()
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork_in_parent,
            after_in_child=self._reset,
        )

    def _before_fork(self) -> None:
        filters = cast("list[Any]", warnings.filters)
        if _NO_FORK_WARNING in filters:
            filters.remove(_NO_FORK_WARNING)
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not None:
            _join(thread, timeout_s=1.0)

    def _after_fork_in_parent(self) -> None:
        with self._lock:
            if self.runs:
                if _WARNS_OF_RESTART and threading.active_count() == 1:
                    cast("list[Any]", warnings.filters).insert(0, _NO_FORK_WARNING)
                self._start()

    def _reset(self) -> None:
        """Forget everything in a forked child: the runs belong to its parent."""
        self.runs.clear()
        self._thread, self._lock = None, threading.RLock()

    def add(self, run: HeartbeatRun) -> None:
        """Start the heartbeat of a run."""
        with self._lock:
            self.runs.add(run)
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(self._stop,), name="hpcsweep", daemon=True
        )
        self._thread.start()

    def remove(self, run: HeartbeatRun) -> bool:
        """Stop the heartbeat of a run; returns whether it was the last."""
        with self._lock:
            self.runs.discard(run)
            return not self.runs

    def all(self) -> list[HeartbeatRun]:
        """All runs of this process."""
        with self._lock:
            return list(self.runs)

    def stop(self) -> None:
        """Stop the thread at the end of the process."""
        self._stop.set()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            with self._lock:
                if stop.is_set():
                    return
                paths = [run.path / "metadata.json" for run in self.runs]
                if not paths:
                    self._thread = None
                    return
            for path in paths:
                with contextlib.suppress(OSError):  # removed, or the disk is unavailable
                    os.utime(path)


def _join(thread: threading.Thread, timeout_s: float) -> None:
    """Wait for the end of a thread, but not for ever: a file system without answer may hold it."""
    deadline = time.monotonic() + timeout_s
    thread.join(timeout_s)
    # The kernel may know it for a moment longer than Python (3.12).
    task = Path(f"/proc/self/task/{thread.native_id}")
    while task.exists() and time.monotonic() < deadline:
        os.sched_yield()


HEARTBEAT = Heartbeat()
