"""Let two copies of SQLite in one process use the same file, one after the other.

Python has one, and ADBC's driver brings another. Where a process closes any descriptor of a file,
the kernel drops all POSIX locks of the process on it, and a copy of SQLite knows its own
descriptors alone (sqlite.org/howtocorrupt.html, 2.2.1). So Python's copy opens a file under
`opening`; under it the other copy opens, reads and closes a file of which `is_open` finds no
descriptor.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OPENING = threading.RLock()
# A fork while another thread opens a file would leave the lock taken in the child for ever.
os.register_at_fork(
    before=_OPENING.acquire,
    after_in_parent=_OPENING.release,
    after_in_child=_OPENING.release,
)


@contextmanager
def opening() -> Iterator[None]:
    """Let no other thread of this process open a file of SQLite meanwhile."""
    with _OPENING:
        yield


def is_open(path: Path) -> bool:
    """Whether this process has a descriptor of the file. *Raises* OSError if nobody can tell."""
    of_file = path.stat()
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # of Linux and macOS
        with suppress(OSError):  # that of the list itself is closed
            if os.path.samestat(of_file, os.fstat(int(name))):
                return True
    return False
