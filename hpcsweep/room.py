"""Whether a directory has room: found by writing, since statvfs(3) knows no quota."""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep.files import FULL, open_file, token, unwritable, write_all

# Bytes without which nothing goes on: journals, plans and the index need them.
ROOM_MIN = 1 << 20
# The most bytes that a probe writes.
PROBE_MAX = 64 << 20
PIECE = 1 << 20


def has_room(directory: Path, size: int = ROOM_MIN) -> bool:
    """Whether `size` bytes can be written in a directory; above `PROBE_MAX`, as far as is known.

    *Raises* SweepError if it cannot be written for another reason. *Writes* a nameless file.
    """
    path = directory / f".room.{token()}"
    try:
        free = os.statvfs(directory)
        if free.f_blocks and free.f_bavail * free.f_frsize < size:
            return False
        descriptor = open_file(path, os.O_WRONLY | os.O_EXCL)
        try:
            path.unlink()  # first, so that a kill leaves nothing
            for _ in range(-(-min(size, PROBE_MAX) // PIECE)):
                write_all(descriptor, os.urandom(PIECE))  # some file systems store no zeros
            os.fsync(descriptor)
        finally:
            os.close(descriptor)  # NFS may report a quota only here
    except OSError as error:
        if error.errno in FULL:
            return False
        raise unwritable(path, error) from error
    return True
