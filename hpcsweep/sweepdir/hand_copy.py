"""Copies made by hand: `cp -r`, rsync, or an unpacked archive beside the sweep itself.

Such a copy has the key of the original, and so its names of jobs and its rows in a shared database.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory

# Of a sweep directory, and of its marker.
Statuses = tuple[os.stat_result, os.stat_result]


def original(sweep: SweepDirectory) -> Path | None:
    """The sweep directory of which this one is a copy by hand; None if it is none.

    The last submission names the directory in which it was made. If that is still a sweep of this
    key in which one can work, this one is the copy; if not, this one was moved. *Raises* Damaged.
    """
    numbers = sweep.submissions()
    made_in = sweep.plan(numbers[-1])[1].get("directory") if numbers else None
    if made_in is None or sweep.archive:
        return None
    with contextlib.suppress(OSError, SweepError):  # gone, or not readable: not in use from here
        there = SweepDirectory.open(Path(made_in))
        if there.key == sweep.key and not _is_frozen(there.path):
            statuses = [(path.stat(), (path / MARKER).stat()) for path in (there.path, sweep.path)]
            return None if is_one_directory(*statuses) else there.path
    return None


def is_one_directory(one: Statuses, other: Statuses) -> bool:
    """Whether two paths lead to one sweep directory, by the status of each and of its marker."""
    (one_dir, one_marker), (other_dir, other_marker) = one, other
    if one_dir.st_ino != other_dir.st_ino:
        return False
    if one_dir.st_dev == other_dir.st_dev:
        return True
    # Two mounts of one directory differ in the device. Inodes of two file systems may be equal,
    # small numbers on a new one; but no copy keeps the time of change, unlike that of modification.
    # Whole seconds: Lustre and some mounts have no fractions.
    return one_marker.st_ino == other_marker.st_ino and int(one_marker.st_ctime) == int(
        other_marker.st_ctime
    )


def _is_frozen(path: Path) -> bool:
    """Whether the file system is read-only, or the user's own directory not writable.

    So a site leaves the old file system after a migration, where nothing can be removed.
    """
    if os.access(path, os.W_OK):
        return False
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY) or path.stat().st_uid == os.geteuid()


def refuse_hand_copy(sweep: SweepDirectory) -> None:
    """*Raises* SweepError for a copy by hand: nothing may be submitted or cancelled in it."""
    where = original(sweep)
    if where is not None:
        raise SweepError(
            f"is a copy of {where}, made by hand: both have the same jobs and database rows",
            where=str(sweep.path),
            next_step=f"Work in {where}; or make a sweep of its own: `hpcsweep copy "
            f"{shlex.quote(str(sweep.path))} DIR`. If this one takes its place, remove, rename "
            "or write-protect that one first.",
        )
