"""The journals of a large first ingest in pieces, and the forks that take one at a time."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path

# Each process works as hard as a login node will bear.
PROCESSES_MAX = 4
# Bytes of journals in a piece of work: those of a batch or a little less.
PIECE_BYTES = 6 << 20
# The numbers of all pieces fit into the smallest pipe of Linux, a page.
PIECES_MAX = 1000

_Number = struct.Struct("<I")


def divide(root: Path, names: Sequence[str]) -> list[list[str]]:
    """Divide journals into pieces, in order."""
    sizes = [_size(root / name) for name in names]
    least = max(PIECE_BYTES, sum(sizes) // PIECES_MAX + 1)
    found: list[list[str]] = []
    room = 0
    for name, size in zip(names, sizes, strict=True):
        if room <= 0:
            found.append([])
            room = least
        found[-1].append(name)
        room -= size
    return found


def processes(count: int) -> int:
    """How many processes share so many pieces."""
    return min(len(os.sched_getaffinity(0)), PROCESSES_MAX, count)


class PieceQueue:
    """The numbers of pieces, in a pipe: this process and its forks take one after the other."""

    def __init__(self, count: int, parts: int = 1) -> None:
        """`parts`: how many parts of successive pieces go on side by side."""
        self._parent = os.getpid()
        step = -(-count // parts) or 1
        ranges = [range(start, min(start + step, count)) for start in range(0, count, step)]
        order = chain.from_iterable(zip_longest(*ranges))
        self._reading, writing = os.pipe()
        os.write(writing, b"".join(_Number.pack(piece) for piece in order if piece is not None))
        os.close(writing)

    def take(self) -> int | None:
        """The next piece; None if none is left, or the parent of this fork was killed."""
        if self._parent not in (os.getpid(), os.getppid()):
            return None
        number = os.read(self._reading, _Number.size)
        return _Number.unpack(number)[0] if number else None

    def close(self) -> None:
        """Close this process's end."""
        os.close(self._reading)


def start_fork(do: Callable[[], None]) -> int:
    """Start a fork that calls `do` and ends; returns its process id. *Raises* OSError."""
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(0)
    return pid


def end_fork(pid: int) -> None:
    """End a fork, unless it has ended. Where SIGCHLD is ignored, the kernel has reaped it."""
    with suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
