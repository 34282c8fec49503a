"""Large files that commands would extract each time: the last ones are kept for the next command.

Each is in a directory of its own below the temporary directory, private to the user. A process
that uses one has a lock on its directory, so that no other removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from hpcsweep.files import fsync_path, mkdir, names, remove_tree, token, try_lock

# Copies that stay.
KEPT_MAX = 2

# Descriptors of the directories that this process uses until it ends.
_in_use: list[int] = []


def kept_copy(key: str, name: str, write: Callable[[Path], None]) -> Path | None:
    """The path of the copy `key`, in a file with this name; None if none can be kept here.

    `write` writes the file if there is none yet. *Raises* what it does. *Safe to repeat.*
    """
    home = Path(tempfile.gettempdir()) / f"hpcsweep-{os.geteuid()}-archives"
    place = home / key
    try:
        if not _is_private(home):
            return None
        if not _use(place, name):
            new = home / f"{key}.{token()}"
            mkdir(new)
            if not _use(new):
                return None
            with contextlib.ExitStack() as stack:
                stack.callback(remove_tree, new)
                write(new / name)
                fsync_path(new / name)  # a partial one would be found by all later commands
                with contextlib.suppress(OSError):  # another process was faster
                    new.rename(place)
                    stack.pop_all()
            if not _use(place, name):
                return None
        os.utime(place)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # another process removes them, too
        _remove_others(home)
    return place / name


def _is_private(home: Path) -> bool:
    """Make the directory of all copies; another user may have made one of its name."""
    with contextlib.suppress(FileExistsError):
        mkdir(home)
    found = home.lstat()
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return is_own and not found.st_mode & 0o077


def _use(place: Path, name: str = "") -> bool:
    """Lock a directory with this file, so that no other process removes it."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        is_there = os.path.samestat(os.fstat(descriptor), place.stat())
        if is_there and (place / name).exists():
            _in_use.append(descriptor)
            return True
    except (BlockingIOError, FileNotFoundError):  # it is being removed
        pass
    os.close(descriptor)
    return False


def _remove_others(home: Path) -> None:
    """Remove all copies but the last ones, unless a process uses them."""
    places = [home / name for name in names(home)]
    places.sort(key=lambda place: place.stat().st_mtime_ns, reverse=True)
    for place in places[KEPT_MAX:]:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if try_lock(descriptor):
                remove_tree(place)
        finally:
            os.close(descriptor)
