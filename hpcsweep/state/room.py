"""The room that the next array tasks of a sweep need, from what complete cases keep."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hpcsweep.errors import Damaged
from hpcsweep.logbook.packs import PackLocation
from hpcsweep.records import Reason, Status
from hpcsweep.room import ROOM_MIN
from hpcsweep.runs.find import run_files
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_reader import IndexRow
from hpcsweep.sweepdir.directory import SweepDirectory

# Complete cases whose files are measured.
SAMPLE = 20
# A submission, and why tasks of it ended.
Ended = tuple[int, Reason]


def room_for(
    sweep: SweepDirectory,
    sweep_index: SweepIndex,
    tasks: int,
    ended: Collection[tuple[int, Reason]],
) -> int:
    """Bytes for one more case in each of these array tasks, as far as complete cases tell.

    Twice as much for each submission in a row that found the disk full again: its cases need more.
    `ended`: why tasks of submissions ended early, as in `ArrayTasks`.
    """
    sample = sweep_index.with_status(Status.COMPLETE.value).slice(0, SAMPLE)
    rows = sweep_index.rows(within=sample)
    sizes = [_kept_bytes(sweep, row) for row in rows]
    mean = sum(sizes) // len(sizes) if sizes else 0
    return max(ROOM_MIN, tasks * mean) << max(0, pauses(ended, sweep.submissions()) - 1)


def pauses(ended: Collection[Ended], submissions: Sequence[int]) -> int:
    """How many of the last submissions, one after the other, a full disk ended. Pure."""
    full = [(number, Reason.QUOTA) in ended for number in reversed(submissions)]
    return full.index(False) if False in full else len(full)


def _kept_bytes(sweep: SweepDirectory, row: IndexRow) -> int:
    """What the files of a case occupy on the disk."""
    place = PackLocation.parse(str(row["run_dir"] or ""))
    if place is not None:
        return place.length
    try:
        files = run_files(sweep, row)
        paths = [] if files is None else [files.path(name) for name in files.names()]
        return sum(path.stat().st_blocks * 512 for path in paths if path is not None)
    except (OSError, Damaged):  # gone meanwhile
        return 0
