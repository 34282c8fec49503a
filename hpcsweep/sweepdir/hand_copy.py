"""Copies made by hand: `cp -r`, rsync, or an unpacked archive beside the sweep itself.

Such a copy has the key of the original, and so its names of jobs and its rows in a shared database.
"""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path

from hpcsweep.errors import SweepError
from hpcsweep.sweepdir.directory import SweepDirectory


def original(sweep: SweepDirectory) -> Path | None:
    """The sweep directory of which this one is a copy by hand; None if it is none.

    The last submission names the directory in which it was made. If that is still a sweep of this
    key, this one is the copy; if not, this one was moved. *Raises* Damaged.
    """
    numbers = sweep.submissions()
    made_in = sweep.plan(numbers[-1])[1].get("directory") if numbers else None
    if made_in is None or sweep.archive:
        return None
    with contextlib.suppress(OSError, SweepError):  # gone, or not readable: not in use from here
        there = SweepDirectory.open(Path(made_in))
        # Two mounts of one directory differ in the device.
        if there.key == sweep.key and there.path.stat().st_ino != sweep.path.stat().st_ino:
            return there.path
    return None


def refuse_hand_copy(sweep: SweepDirectory) -> None:
    """*Raises* SweepError for a copy by hand: nothing may be submitted or cancelled in it."""
    where = original(sweep)
    if where is not None:
        raise SweepError(
            f"is a copy of {where}, made by hand: both have the same jobs and database rows",
            where=str(sweep.path),
            next_step=f"Work in {where}; or make a sweep of its own: `hpcsweep copy "
            f"{shlex.quote(str(sweep.path))} DIR`. If this one takes its place, remove or rename "
            "that one first.",
        )
