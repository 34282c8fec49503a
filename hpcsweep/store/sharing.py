"""Share the work of a large first ingest into PostgreSQL among processes.

Each is a fork that merges pieces of the journals on a connection of its own: to the database it is
another command. So any of them may be killed; what it left is read again. SQLite has one writer at
a time: there a child only makes rows, see `decoding`.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path

from hpcsweep.store.decoding import end_child

# Each of them has a connection, of which a server may have few, and works as hard as a login node
# will bear.
PROCESSES_MAX = 4
# Bytes of journals in a piece of work: those of a batch or a little less.
PIECE_BYTES = 6 << 20
# The numbers of all pieces fit into the smallest pipe of Linux, a page.
PIECES_MAX = 1000

_Number = struct.Struct("<I")
# Whether a piece is done, and what it returned.
_Result = struct.Struct("<?QQ")

# The number of a piece, and two counts of what is in it.
Done = tuple[int, int, int]


def pieces(root: Path, names: Sequence[str]) -> list[list[str]]:
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


def share(count: int, work: Callable[[Iterator[int]], Iterator[Done]]) -> list[Done]:
    """Do `count` pieces of work by several processes, this one among them.

    `work` is called in each, with the numbers of the pieces that are left for it. Returns what was
    done: without the pieces of a fork that has failed or was killed. *Raises* what `work` raises
    here.
    """
    processes = min(len(os.sched_getaffinity(0)), PROCESSES_MAX, count)
    results = mmap.mmap(-1, count * _Result.size)
    queue = _queue(count, processes)
    parent = os.getpid()

    def do() -> None:
        for piece, *counts in work(_taken(queue, parent)):
            _Result.pack_into(results, piece * _Result.size, True, *counts)

    children: list[int] = []
    try:
        for _ in range(processes - 1):
            with suppress(OSError):  # a limit on processes
                children.append(_fork(do))
        do()
        for pid in children:
            with suppress(ChildProcessError):  # where SIGCHLD is ignored, the kernel reaps it
                os.waitpid(pid, 0)
        children.clear()
    finally:
        os.close(queue)
        for pid in children:
            end_child(pid)
    with results:
        found = enumerate(_Result.iter_unpack(results[:]))
        return [(piece, *counts) for piece, (is_done, *counts) in found if is_done]


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _queue(count: int, processes: int) -> int:
    """A pipe with the number of each piece, from which any process takes the next one.

    Neighbours change the same rows of `blocks`: so each process begins in another part, and the
    parts go on side by side.
    """
    step = -(-count // processes)
    parts = [range(start, min(start + step, count)) for start in range(0, count, step)]
    order = chain.from_iterable(zip_longest(*parts))
    reading, writing = os.pipe()
    os.write(writing, b"".join(_Number.pack(piece) for piece in order if piece is not None))
    os.close(writing)
    return reading


def _taken(queue: int, parent: int) -> Iterator[int]:
    """Take pieces until none is left, or the parent of this process was killed."""
    while os.getpid() == parent or os.getppid() == parent:
        number = os.read(queue, _Number.size)
        if not number:
            return
        yield _Number.unpack(number)[0]


def _fork(do: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(0)
    return pid
