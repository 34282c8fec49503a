"""Share the work of a large first ingest into PostgreSQL among processes.

Each is a fork that merges pieces of the journals on a connection of its own: to the database it is
another command. So any of them may be killed; what it left is read again. SQLite has one writer at
a time: there a child only makes rows, see `decoding`.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from hpcsweep.store.pieces import PieceQueue, end_fork, processes, start_fork

# Whether a piece is done, and what it returned.
_Result = struct.Struct("<?QQ")

# The number of a piece, and two counts of what is in it.
Done = tuple[int, int, int]


def share(count: int, work: Callable[[Iterator[int]], Iterator[Done]]) -> list[Done]:
    """Do `count` pieces of work by several processes, this one among them.

    `work` is called in each, with the numbers of the pieces that are left for it. Returns what was
    done: without the pieces of a fork that has failed or was killed. *Raises* what `work` raises
    here.
    """
    n_processes = processes(count)
    results = mmap.mmap(-1, count * _Result.size)
    # Neighbours change the same rows of `blocks`: so each process begins in another part.
    queue = PieceQueue(count, n_processes)

    def do() -> None:
        for piece, *counts in work(_taken(queue)):
            _Result.pack_into(results, piece * _Result.size, True, *counts)

    children: list[int] = []
    try:
        for _ in range(n_processes - 1):
            with suppress(OSError):  # a limit on processes
                children.append(start_fork(do))
        do()
        for pid in children:
            with suppress(ChildProcessError):  # where SIGCHLD is ignored, the kernel reaps it
                os.waitpid(pid, 0)
        children.clear()
    finally:
        queue.close()
        for pid in children:
            end_fork(pid)
    with results:
        found = enumerate(_Result.iter_unpack(results[:]))
        return [(piece, *counts) for piece, (is_done, *counts) in found if is_done]


def _taken(queue: PieceQueue) -> Iterator[int]:
    while (piece := queue.take()) is not None:
        yield piece
