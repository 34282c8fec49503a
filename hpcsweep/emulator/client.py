"""The programs' side of the socket: send requests to the scheduler, start it if none listens."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from hpcsweep.emulator import names
from hpcsweep.errors import ClusterUnavailable

# Bytes of a socket's path that every system accepts (Linux 107, the BSDs 103, without the NUL).
_ADDRESS_BYTES = 103
_START_S = 30.0
_TRIES = 5


def connect(state_dir: Path) -> socket.socket:
    """Connect to the scheduler. *Raises* OSError if none listens."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path = os.path.join(state_dir, names.SOCKET)
    try:
        if len(os.fsencode(path)) <= _ADDRESS_BYTES:
            link.connect(path)
            return link
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            link.connect(f"/proc/self/fd/{directory}/{names.SOCKET}")
        finally:
            os.close(directory)
    except OSError:
        link.close()
        raise
    return link


def _exchange(state_dir: Path, request: bytes) -> dict[str, Any]:
    with connect(state_dir) as link:
        link.sendall(request)
        link.shutdown(socket.SHUT_WR)
        parts = []
        while part := link.recv(1 << 20):
            parts.append(part)
    data = b"".join(parts)
    if not data.endswith(b"\n"):
        raise ConnectionResetError("the scheduler died before it answered")
    answer: dict[str, Any] = json.loads(data)
    if answer.get("away"):  # an injected fault; real programs retry for 9 s
        raise ClusterUnavailable("the emulated controller is away", where=str(state_dir))
    if "delay" in answer:
        import time  # noqa: PLC0415

        time.sleep(answer["delay"])
    return answer


def ask(state_dir: Path, question: dict[str, Any], *, start: bool = True) -> dict[str, Any]:
    """The scheduler's answer to a request; starts a scheduler if `start` and none listens.

    A request whose answer was lost is sent again: all requests are idempotent, a submission by its
    token. *Raises* ClusterUnavailable.
    """
    request = json.dumps(question).encode()
    last_error: OSError | None = None
    for _ in range(_TRIES):
        try:
            return _exchange(state_dir, request)
        except OSError as error:
            last_error = error
        if not start:
            break
        start_scheduler(state_dir)
    raise ClusterUnavailable(
        "the emulated scheduler does not answer",
        where=str(state_dir),
        next_step=f"See its log: {os.path.join(state_dir, names.LOG)}",
    ) from last_error


def start_scheduler(state_dir: Path) -> None:
    """Start a scheduler unless one listens; concurrent callers wait for the first one."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        lock = os.open(os.path.join(state_dir, names.START_LOCK), flags, 0o600)
    except OSError as error:
        raise ClusterUnavailable(
            f"there is no emulated cluster here: {error.strerror}", where=str(state_dir)
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            connect(state_dir).close()
        except OSError:
            _spawn(state_dir)
    finally:
        os.close(lock)


def _spawn(state_dir: Path) -> None:
    # Imported here: only a program that starts a scheduler needs them, at milliseconds each.
    import select  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    program = os.path.join(os.path.dirname(__file__), "program.py")
    ready_end, tell_end = os.pipe()
    argv = [sys.executable, "-I", "-S", program, str(state_dir), "scheduler", str(tell_end)]
    # A job's SLURM_* variables would mark the scheduler as one of that job's processes.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    with open(os.path.join(state_dir, names.LOG), "ab") as log, os.fdopen(ready_end, "rb") as ready:
        try:
            started = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean,
                pass_fds=(tell_end,),
                start_new_session=True,
            )
        finally:
            os.close(tell_end)
        started.wait()
        # Readable once it is ready, or at end of file if it failed or was not the first.
        select.select([ready], [], [], _START_S)


def is_locked(state_dir: Path) -> bool:
    """Whether a scheduler process exists, even if it no longer listens."""
    try:
        lock = os.open(os.path.join(state_dir, names.LOCK), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
