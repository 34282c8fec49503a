"""The room that the next array tasks of a sweep need, from what complete cases keep."""

from __future__ import annotations

from itertools import islice

from hpcsweep.errors import Damaged
from hpcsweep.logbook.packs import PackLocation
from hpcsweep.records import Status
from hpcsweep.room import ROOM_MIN
from hpcsweep.runs.find import run_files
from hpcsweep.store import SweepIndex
from hpcsweep.store.schema import cases
from hpcsweep.store.sweep_index import IndexRow
from hpcsweep.sweepdir.directory import SweepDirectory

# Complete cases whose files are measured.
SAMPLE = 20


def room_for(sweep: SweepDirectory, sweep_index: SweepIndex, tasks: int) -> int:
    """Bytes for one more case in each of these array tasks, as far as complete cases tell."""
    complete = cases.c.status == Status.COMPLETE.value
    rows = islice(sweep_index.rows(where=complete, batch=SAMPLE), SAMPLE)
    sizes = [_kept_bytes(sweep, row) for row in rows]
    mean = sum(sizes) // len(sizes) if sizes else 0
    return max(ROOM_MIN, tasks * mean)


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
