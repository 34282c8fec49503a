"""Make the batches of a large first ingest in a child process, while this one inserts them.

The child reads journals and touches no database. It is a fork: it has the manifest as the parent
has, and sends rows and nothing else. Whatever ends it early, the parent goes on by itself.
"""

from __future__ import annotations

import marshal
import os
import signal
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from hpcsweep.store.upsert import RowBatch

# Bytes of journals that are decoded as fast as a child is made and its rows are sent: some 10,000
# cases.
BYTES_MIN = 8 << 20

_NAMES = tuple(one.name for one in fields(RowBatch) if one.name != "cases")
_HEAD = struct.Struct("<Q")
# The first version without references: to look for equal texts takes longer than to copy them.
_MARSHAL_VERSION = 2

# A batch, and the counts of records and of skipped lines up to its end.
Counted = tuple[RowBatch, int, int]


def pays(root: Path, names: Sequence[str]) -> bool:
    """Whether journals are so many that a child is faster, and this process may have one.

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


def in_child(batches: Callable[[], Iterator[Counted]]) -> Iterator[Counted]:
    """The batches that a child makes, all or the first ones: it sends no error.

    *Safe to repeat*; ending it early ends the child.
    """
    reading, writing = os.pipe()
    try:
        pid = os.fork()
    except OSError:  # a limit on processes
        os.close(reading)
        os.close(writing)
        return
    if pid == 0:
        os.close(reading)
        _be_child(batches, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as stream:
            yield from _received(stream)
    finally:
        end_child(pid)


def end_child(pid: int) -> None:
    """End a child, unless it has ended. Where SIGCHLD is ignored, the kernel has reaped it."""
    with suppress(ChildProcessError, ProcessLookupError):
        if os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _be_child(batches: Callable[[], Iterator[Counted]], writing: int) -> None:
    """Send batches; never returns. An error is met again by the parent, at the same record."""
    try:
        with os.fdopen(writing, "wb") as stream:
            for batch, *counts in batches():
                data = _dumped(batch, *counts)
                stream.write(_HEAD.pack(len(data)))
                stream.write(data)
                stream.flush()
    finally:
        os._exit(0)


def _received(stream: BinaryIO) -> Iterator[Counted]:
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        (size,) = _HEAD.unpack(head)
        data = stream.read(size)
        if len(data) < size:  # it was killed
            return
        yield _loaded(data)
        del data


def _dumped(batch: RowBatch, *counts: int) -> bytes:
    """A batch and its counts as bytes. Most columns of cases are constant."""
    columns = {name: _abridged(column) for name, column in batch.cases.items()}
    values = [getattr(batch, name) for name in _NAMES]
    return marshal.dumps((len(batch.case_ids), columns, values, counts), _MARSHAL_VERSION)


def _loaded(data: bytes) -> Counted:
    """What `_dumped` made bytes of."""
    count, columns, values, counts = marshal.loads(data)  # noqa: S302  # of our own child, by a pipe
    batch = RowBatch(**dict(zip(_NAMES, values, strict=True)))
    batch.cases = {
        name: column if len(column) == count else column * count for name, column in columns.items()
    }
    return batch, *counts


def _abridged(column: Sequence[Any]) -> Sequence[Any]:
    """A column, or its value alone if all are the same."""
    first = column[0]
    is_constant = (
        first == column[-1]
        and column.count(first) == len(column)
        and len(set(map(type, column))) == 1  # 1 equals 1.0
    )
    return column[:1] if is_constant else column
