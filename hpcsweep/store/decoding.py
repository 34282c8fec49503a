"""Make the batches of a large first ingest by children, too, while this process inserts them.

The children read journals and touch no database, of which SQLite has one writer at a time. Each is
a fork: it has the manifest as the parent has, and sends rows and nothing else. While no batch has
come, the parent makes one itself. What a child leaves that is ended early has to be read again.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from io import FileIO
from pathlib import Path
from queue import Queue
from selectors import EVENT_READ, PollSelector
from typing import Any

from hpcsweep.store.constant_columns import is_constant
from hpcsweep.store.pieces import PieceQueue, end_fork, processes, start_fork
from hpcsweep.store.upsert import RowBatch

# Bytes of journals that are decoded as fast as a child is made and its rows are sent: some 10,000
# cases.
BYTES_MIN = 8 << 20
# Batches that a child may be ahead of its parent; each takes some megabytes.
AHEAD_MAX = 4
# Bytes of a child's pipe: what anyone may ask of Linux for one.
_PIPE_BYTES = 1 << 20

_NAMES = tuple(one.name for one in fields(RowBatch) if one.name != "cases")
_HEAD = struct.Struct("<Q")
# The first version without references: to look for equal texts takes longer than to copy them.
_MARSHAL_VERSION = 2

# A batch, and the counts of its records and of the skipped lines between them.
Counted = tuple[RowBatch, int, int]
# Makes the batches of a piece.
_Decode = Callable[[int], Iterator[Counted]]


def pays(root: Path, names: Sequence[str]) -> bool:
    """Whether journals are so many that children help, and this process may have some.

    A process with threads may not fork: locks that they hold would stay locked in the child.
    """
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1:
        return False
    if threading.active_count() > 1:
        return False
    size = 0
    for name in names:
        with suppress(OSError):
            size += (root / name).stat().st_size
        if size >= BYTES_MIN:
            return True
    return False


def with_children(count: int, decode: _Decode) -> Iterator[Counted]:
    """The batches of `count` pieces, but for those that a child left.

    Those of a piece come in order. *Raises* what `decode` raises here; ending it early ends the
    children.
    """
    try:
        queue = PieceQueue(count)
    except OSError:  # a limit on open files
        return
    children: list[_Child] = []
    try:
        # One also for a single piece: its batches are inserted while the next ones are made.
        for _ in range(max(1, processes(count) - 1)):
            with suppress(OSError):  # a limit on processes
                children.append(_Child.fork(queue, decode, children))
        yield from _shared(children, queue, decode, is_left=count > len(children))
    finally:
        queue.close()
        for child in children:
            child.end()


def _shared(
    children: list[_Child], queue: PieceQueue, decode: _Decode, *, is_left: bool
) -> Iterator[Counted]:
    """The batches of children, and of the pieces that this process takes while none has come.

    `is_left`: whether there may be a piece for it.
    """
    with PollSelector() as selector:  # select(2) has a limit on descriptors
        for child in children:
            selector.register(child, EVENT_READ, child)
        while children or is_left:
            ready = selector.select(0 if is_left else None)
            for key, _ in ready:
                counted = key.data.receive()
                if counted is None:
                    selector.unregister(key.fileobj)
                    children.remove(key.data)
                    key.data.end()
                else:
                    yield counted
                del counted
            if is_left and not ready:
                piece = queue.take()
                is_left = piece is not None
                yield from () if piece is None else decode(piece)


@dataclass(frozen=True, eq=False)
class _Child:
    """A child that makes batches, and what comes from it."""

    pid: int
    stream: FileIO

    @classmethod
    def fork(cls, queue: PieceQueue, decode: _Decode, others: Sequence[_Child]) -> _Child:
        """Start one, which lets go of what comes from the others. *Raises* OSError."""
        reading, writing = os.pipe()
        with suppress(OSError):  # the pipes of this user are large already
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

        def send() -> None:
            os.close(reading)
            for other in others:
                other.stream.close()
            _be_child(queue, decode, writing)

        try:
            pid = start_fork(send)
        except OSError:
            os.close(reading)
            os.close(writing)
            raise
        os.close(writing)
        return cls(pid, FileIO(reading))

    def fileno(self) -> int:
        """For select(2)."""
        return self.stream.fileno()

    def receive(self) -> Counted | None:
        """The next batch; None if the child has ended, or was ended inside of one."""
        head = self._read(_HEAD.size)
        data = head and self._read(_HEAD.unpack(head)[0])
        return _loaded(data) if data else None

    def _read(self, size: int) -> bytearray | None:
        data = bytearray(size)
        view, at = memoryview(data), 0
        while at < size:
            count = self.stream.readinto(view[at:])
            if not count:
                return None
            at += count
        return data

    def end(self) -> None:
        """End it, unless it has ended."""
        self.stream.close()
        end_fork(self.pid)


def _be_child(queue: PieceQueue, decode: _Decode, writing: int) -> None:
    """Send batches. Whoever reads an unsent piece again meets its error."""
    ready: Queue[bytes | None] = Queue(AHEAD_MAX)
    sending = threading.Thread(target=_send, args=(ready, writing), daemon=True)
    sending.start()
    while (piece := queue.take()) is not None:
        for batch, *counts in decode(piece):
            ready.put(_dumped(batch, *counts))
    ready.put(None)
    sending.join()


def _send(ready: Queue[bytes | None], writing: int) -> None:
    """Write batches to the pipe up to None, while the next ones are made."""
    is_over = False
    try:
        with os.fdopen(writing, "wb") as stream:
            while (data := ready.get()) is not None:
                stream.write(_HEAD.pack(len(data)))
                stream.write(data)
                stream.flush()
                del data
        is_over = True
    finally:
        if not is_over:  # the parent has gone, or this child has no memory
            os._exit(0)


def _dumped(batch: RowBatch, *counts: int) -> bytes:
    """A batch and its counts as bytes. Most columns of cases are constant."""
    columns = {name: _abridged(column) for name, column in batch.cases.items()}
    values = [getattr(batch, name) for name in _NAMES]
    return marshal.dumps((len(batch.case_ids), columns, values, counts), _MARSHAL_VERSION)


def _loaded(data: bytes | bytearray) -> Counted:
    """What `_dumped` made bytes of."""
    count, columns, values, counts = marshal.loads(data)  # noqa: S302  # of our own child, by a pipe
    batch = RowBatch(**dict(zip(_NAMES, values, strict=True)))
    batch.cases = {
        name: column if len(column) == count else column * count for name, column in columns.items()
    }
    return batch, *counts


def _abridged(column: Sequence[Any]) -> Sequence[Any]:
    """A column, or its value alone if all are the same."""
    return column[:1] if is_constant(column) else column
